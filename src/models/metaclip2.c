/* MetaCLIP 2: transformers' MetaClip2Model; open_clip's worldwide models. CLIP's towers; a text's tokens are XLM-V's.
 */
#include "models/clip.h"

#define END 2 /* </s> */

static gh_status put_text(gh_error *err, gh_json *tower, const gh_text_config *c) {
  gh_status status = gh_json_put_double(err, tower, "projection_dim", c->projection);
  return status ? status : gh_json_put_double(err, tower, "bos_token_id", 0);
}

#define VISION(side, sub, width, depth, groups, wide, d, act)                                                          \
  {                                                                                                                    \
    .family = &gh_metaclip2, .tower = GH_CLIP_TOWER(width, depth, groups, wide, act, false), .image = side,            \
    .patch = sub, .projection = d                                                                                      \
  }
#define TEXT(width, depth, groups, wide, tokens, d, act)                                                               \
  {                                                                                                                    \
    .family = &gh_metaclip2, .tower = GH_CLIP_TOWER(width, depth, groups, wide, act, true), .vocabulary = tokens,      \
    .positions = 77, .projection = d, .eos = END                                                                       \
  }
#define XLM_V 901629

static const gh_arch archs[] = {
    {.name = "metaclip2-h-14-224",
     .summary = "MetaCLIP 2 worldwide ViT-H/14 at 224 pixels",
     .vision = VISION(224, 14, 1280, 32, 16, 5120, 1024, GH_QUICK_GELU),
     .text = TEXT(1024, 24, 16, 4096, XLM_V, 1024, GH_QUICK_GELU)},
    {.name = "metaclip2-h-14-378",
     .summary = "MetaCLIP 2 worldwide ViT-H/14 at 378 pixels",
     .vision = VISION(378, 14, 1280, 32, 16, 5120, 1024, GH_GELU_ERF),
     .text = TEXT(1024, 24, 16, 4096, XLM_V, 1024, GH_GELU_ERF)},
    {0},
};

static const gh_openclip_rule openclip_text[] = {
    {"pool_type", "eos", "argmax"},    {"no_causal_mask", "false", "false"}, {"proj_bias", "false", "false"},
    {"proj_type", "linear", "linear"}, {"block_type", "default", "default"}, {0}};

const gh_family gh_metaclip2 = {
    .name = "metaclip_2",
    .title = "MetaCLIP 2",
    .archs = archs,
    .vision_type = "metaclip_2_vision_model",
    .text_type = "metaclip_2_text_model",
    .model_class = "MetaClip2Model",
    .vision_class = "MetaClip2VisionModel",
    .vision = VISION(224, 32, 768, 12, 12, 3072, 0, GH_QUICK_GELU),
    .text = {.family = &gh_metaclip2,
             .tower = GH_CLIP_TOWER(512, 12, 8, 2048, GH_QUICK_GELU, true),
             .vocabulary = 49408,
             .positions = 77,
             .eos = 49407},
    .read_vision = gh_clip_read_vision,
    .read_text = gh_clip_read_text,
    .put_model = gh_clip_put_model,
    .put_vision = gh_clip_put_vision,
    .put_text = put_text,
    .openclip = {.vision = gh_clip_openclip_vision, .text = openclip_text, .eos = END, .reads_eos = true},
    .weights = GH_CLIP_WEIGHTS,
    .processor = {.classes = gh_clip_processors, .defaults = GH_OPENAI_PREPROCESS},
    .class_tokens = 1,
    .vision_tower = gh_clip_vision_tower,
    .text_tower = gh_clip_text_tower,
    .text_pooled = gh_clip_first_end,
    .tensors = gh_clip_tensors,
};
