W=/opt/work/wt-e
gcc -O2 -D_GNU_SOURCE -std=gnu11 -I$W/src -I$W/cl bench.c $W/build/libgenhance_core.a -o bench $(pkg-config --libs OpenCL libpng libturbojpeg libarchive libcjson libxxhash) -lclblast -lpthread -lm
