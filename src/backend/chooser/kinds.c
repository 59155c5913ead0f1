#include "backend/chooser/kinds.h"

#include "backend/chooser/attention.h"
#include "backend/chooser/attention_tile.h"
#include "backend/chooser/fft.h"
#include "backend/chooser/gemm.h"

const gh_choice_kind *const gh_choice_kinds[] = {&gh_gemm_kind, &gh_attention_kind, &gh_attention_tile_kind,
                                                 &gh_fft_kind, NULL};
