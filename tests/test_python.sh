#!/usr/bin/env bash
# The Python package: its structs are the header's, `pip install .` makes a wheel without any network, and what is
# installed computes what the commands compute.
# usage: test_python.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
root=$(realpath "$fixtures/../..")
library=$(dirname "$genhance")/libgenhance.so
python=
for candidate in python3 /usr/bin/python3; do
  "$candidate" -c 'import numpy, venv, ensurepip' 2>/dev/null && { python=$candidate; break; }
done
[ -n "$python" ] || { echo "skipped: no Python with numpy and venv"; exit 77; }

# ---- structs ----
GENHANCE_LIBRARY=$library PYTHONPATH=$root/python "$python" - >structs.c <<'PYTHON' || fail "the module does not load: $(cat err)"
from genhance import _library as l
print('#include <genhance/genhance.h>\n#include <stdio.h>\n#include <stddef.h>\nint main(void) {')
for name, struct in l.STRUCTS.items():
    print(f'printf("{name} %zu\\n", sizeof({name}));')
    for field, *_ in struct._fields_:
        print(f'printf("{name}.{field} %zu\\n", offsetof({name}, {field}));')
print('}')
PYTHON
cc -I"$root/include" structs.c -o structs 2>err || fail "the module names a field that the header does not have: $(cat err)"
GENHANCE_LIBRARY=$library PYTHONPATH=$root/python "$python" - >want <<'PYTHON'
import ctypes
from genhance import _library as l
for name, struct in l.STRUCTS.items():
    print(name, ctypes.sizeof(struct))
    for field, *_ in struct._fields_:
        print(f"{name}.{field}", getattr(struct, field).offset)
PYTHON
./structs >got && [ -s got ] && cmp got want || fail "structs differ from the header's: $(diff got want)"

# ---- the wheel ----
"$python" -m venv --system-site-packages venv >err 2>&1 || fail "venv: $(cat err)"
venv/bin/python -m pip install --quiet --no-index --disable-pip-version-check --no-build-isolation \
  --config-settings "library=$library" "$root" >err 2>&1 || fail "pip install: $(cat err)"
find venv -name libgenhance.so | grep -q . || fail "the wheel has no library"
find venv -name py.typed | grep -q . || fail "the wheel has no py.typed"

# ---- the module, installed ----
"$genhance" encode --model clip --images images --out rows.safetensors --json rows.json >out 2>err || fail "encode: $(cat err)"
train
mv run whole
GENHANCE_FIXTURES=$fixtures venv/bin/python "$root/tests/python/test_genhance.py" 2>err || fail "$(cat err)"
same whole run
finish
