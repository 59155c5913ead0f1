/* The kernels of attention_cpu.cl and attention_gpu.cl with other tiles, as a search of the host may choose them
 * (src/backend/chooser/attention_space.c):
 *
 *   ATT_ROWS                            CPU's shape: rows of a tile
 *   ATG_ROWS, ATG_COLUMNS, ATG_WIDE     GPU's shape: rows of a work-group, of a tile, and columns of the result */
#include "functions.h"
#include "launch.h"

#include "attention_cpu.cl"
#include "attention_gpu.cl"
