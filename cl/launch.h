/* The numbers by which the kernels and the host agree on a launch: what a group, a work-item or a tile of it is given.
 * Both include this header; nothing else writes them. */
#ifndef GH_LAUNCH_H
#define GH_LAUNCH_H

/* ---- the two shapes of kernels, and the mechanisms of platform.h ---- */

#define GROUP_ITEMS       256         /* GPU's shape: work-items of a group, at most */
#define GROUP_LOCAL_BYTES (32 * 1024) /* GPU's shape: local memory of a group, at most */
#define CPU_VECTOR        16          /* CPU's shape: numbers of a vector */
#define ELEMENT_BLOCK     4096        /* CPU's shape: elements of a work-item */
#define COLUMN_CHUNK      64          /* rows of a partial column sum, in both shapes: results do not depend on them */
#define SAMPLE_CHUNK      4096        /* elements of one sample that are a row */
#define SQUARE_CHUNK      4096        /* elements of a partial sum of squares */
#define SQUARE_TENSORS    16          /* tensors of a launch that sums squares; update.cl lists them */
#define MOMENT_BLOCK      256         /* elements that share a scale of 8-bit moments */
#define TRANSPOSE_TILE    16          /* rows and columns of a tile */
#define COPY_ROWS         4           /* GPU's shape: rows of a work-item of a strided copy */
#define PIECE_BYTES       16          /* GPU's shape: a load or store of a work-item, at most (pieces.h) */
#define PROBE_CHAINS      16          /* probe_fma_peak: chains of multiply-adds of a work-item */

/* ---- convolutions on CPUs ---- */

#define DIRECT_BLOCK      128    /* conv2d_direct: positions of a work-item */
#define DIRECT_OUT        128    /* and output channels */
#define WINOGRAD_ELEMENTS 16     /* conv2d_winograd: elements of a transformed 3 x 3 kernel */
#define WINOGRAD_CHANNELS 32     /* input channels of a chunk */
#define WINOGRAD_GROUP    12     /* output channels whose weights are side by side */
#define WINOGRAD_BLOCK    8      /* vectors of tiles of a work-item */
#define WINOGRAD_OUT      264    /* and output channels, a multiple of WINOGRAD_GROUP */
#define CONV_AMX_PANEL    393216 /* conv2d_amx: numbers of a work-item's panel, at most */
#define CONV_AMX_PART     512    /* output channels whose sums it keeps, at most */
#define CONV_AMX_CHANNELS 4096   /* input channels, at most: of 32 positions of so many, a panel still fits */
#define WEIGHT_K          144    /* conv2d_weight: columns of a work-item, a multiple of 9 and of 3 */
#define WEIGHT_OUT        64     /* and output channels */
#define WEIGHT_VECS       48     /* vectors of positions of a chunk, at most */

/* conv2d_amx: pixels from a row of the panel to the next, and pixels of the panel: positions up to a multiple of 32,
 * their border, and 16 more because rows are packed 16 pixels at a time. */
#define CONV_AMX_PITCH(columns, width)        ((columns) + ((columns) == (width) ? 1 : 2))
#define CONV_AMX_PIXELS(rows, columns, pitch) ((((rows)-1) * (pitch) + (columns) + 31) / 32 * 32 + 2 * (pitch) + 2 + 16)

/* ---- attention ---- */

#define ATTENTION_CPU_VECS     6   /* vectors of a block, at most */
#define ATTENTION_CPU_PANEL    768 /* vectors of a panel, at most: vectors of a block x head size */
#define ATTENTION_GPU_TILE     64  /* rows of a work-group, and of what it reads at once */
#define ATTENTION_GPU_WIDE     128 /* columns of the result of a work-group */
#define ATTENTION_GPU_SIDE     16  /* work-items of a group, down and across */
#define ATTENTION_MATRIX_WAVES 4   /* tuned_attention_matrix and tuned_attention_columns: waves of a work-group */
#define ATTENTION_NARROW_WAVES 8   /* the same where a wave has 8 lanes */
#define ATTENTION_AMX_ROWS     288 /* tuned_attention_amx: rows of a work-item, at most */
#define ATTENTION_AMX_SIDE     32  /* rows that it multiplies at once */
#define ATTENTION_AMX_CHUNK    512 /* rows of the other side that it packs at once, at most */
#define ATTENTION_AMX_SIZE     128 /* of a head, at most */

/* ---- matrix products ---- */

#define GEMM_CHUNK            256    /* k of one chain of sums, in the CPU's and the GPU's kernels alike */
#define GEMM_STRIP            32     /* columns of a packed strip of B, on CPUs */
#define GEMM_CPU_ROWS         8      /* tuned_gemm_cpu: rows of a tile */
#define GEMM_NARROW_ROWS      6      /* with NARROW_VECTORS */
#define GEMM_CPU_TOTAL        65536  /* floats: the sums of a work-item where C is bfloat16 */
#define GEMM_CPU_PANEL        262144 /* numbers: its kc x nb of B, at most */
#define GEMM_AMX_ROWS         32     /* tuned_gemm_amx: the same three; float32 takes three numbers of its panel */
#define GEMM_AMX_TOTAL        524288
#define GEMM_AMX_PANEL        786432
#define GEMM_AMX_DEPTH        1024   /* kc, at most */
#define GEMM_AMX_CHUNK        384    /* tuned_gemm_amx_bf16: k for which a strip of B stays in the first-level cache */
#define GEMM_SECOND_DEPTH     192    /* k of a second pair of operands, at most */
#define GEMM_SECOND_PANEL     196608 /* on CPUs, numbers: that x nb of B, at most; the widest panel has 1024 columns */
#define GEMM_SECOND_BLOCK     32768  /* tuned_gemm_cpu, numbers: its k of the rows of A that are packed at once */
#define GEMM_DOT_ROWS         32     /* tuned_gemm_dot: what the rows of a block are padded to */
#define GEMM_DOT_PAIRS        16     /* what its k is padded to, in pairs */
#define GEMM_DOT_TOTAL        262144 /* floats: the sums of a work-item */
#define GEMM_DOT_BLOCK        262144 /* words: its pairs of A */
#define GEMM_DOT_PANEL        131072 /* words: its pairs of B */
#define GEMM_GPU_SIDE         16     /* tuned_gemm_gpu: work-items of a group, down and across */
#define GEMM_IMAGE_TAPS       32     /* taps of a kernel whose columns it forms, at most: the bits of a mask */
#define GEMM_IMAGE_GROUP      16     /* tuned_gemm_matrix: channels of an image that a work-item loads together */
#define GEMM_IMAGE_PAD        64     /* what the k of its weights is padded to: the longest step */
#define GEMM_MATRIX_ITEMS     256    /* tuned_gemm_matrix: work-items of a group */
#define GEMM_MATRIX_FEW_ITEMS 128    /* the same of a product, not a convolution, where a wave has 8 lanes */

#endif
