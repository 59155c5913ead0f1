/* The evaluations' data in the forms in which people have it: MMVP-VLM from spreadsheets and hubs' caches, COCO's and
 * Karpathy's captions, ImageNet's lists. Nothing is decoded here: the pictures are empty but for one byte. */
#include "support/scratch.h"

#include "base/file.h"
#include "base/log.h"
#include "eval/dataset_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gh_error err;

static void expect_end(const gh_strings *list, size_t index, const char *end) {
  assert_true(index < list->count);
  if (!gh_ends_with(list->items[index], end)) fail_msg("\"%s\", expected \"...%s\"", list->items[index], end);
}

/* ---- MMVP-VLM ---- */

static void mmvp_of_a_spreadsheet(void **state) {
  (void)state;
  gh_mmvp_data d;
  char *here = check_path(scratch, "mmvp");
  check_put(scratch, "mmvp/MLLM_VLM Images/State and Condition/1.JPG", "x");
  check_put(scratch, "mmvp/MLLM_VLM Images/State and Condition/2.Png", "x");
  check_put(scratch, "mmvp/MLLM_VLM Images/State and Condition/10.JPG", "x");
  check_put(scratch, "mmvp/MLLM_VLM Images/State and Condition/1.txt", "x");
  check_put(scratch, "mmvp/Questions.csv",
            "\xEF\xBB\xBFQuestion ID,Type,Statement,,\r\n1 ,State and Condition ,a cat ,,\r\n"
            "2,  State and Condition,a dog,,\r\n,,,,\r\n \r\n");
  check_ok(gh_mmvp_read(&err, &d, here));
  assert_int_equal(d.pairs, 1);
  expect_end(&d.images, 0, "/State and Condition/1.JPG");
  expect_end(&d.images, 1, "/State and Condition/2.Png");
  assert_string_equal(d.types.items[0], "State and Condition");
  assert_string_equal(d.prompts.items[0], "a photo of a cat "); /* statements are taken as they are */
  gh_mmvp_free(&d);
  check_put(scratch, "mmvp/Questions.csv", "1,State and Condition,a\n3,State and Condition,b\n");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FORMAT, "exactly one must be odd");
  check_put(scratch, "mmvp/Questions.csv", "1,State and Condition,a\n4,State and Condition,b\n");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FILE, "a listed image is missing: ");
  free(here);
}

/* As huggingface_hub caches it: blobs by their hashes, and a tree of links per revision. */
static void mmvp_of_a_hub(void **state) {
  (void)state;
  gh_mmvp_data d;
  char *here = check_path(scratch, "datasets--MMVP--MMVP_VLM"), *tree = check_path(here, "snapshots/8f2c");
  char *pictures = check_path(tree, "MLLM_VLM Images/T"), *csv = check_path(tree, "Questions.csv");
  check_put(scratch, "datasets--MMVP--MMVP_VLM/blobs/aa", "1,T,a\n2,T,b\n");
  check_put(scratch, "datasets--MMVP--MMVP_VLM/blobs/bb", "x");
  check_put(scratch, "datasets--MMVP--MMVP_VLM/refs/main", "8f2c");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FILE, "no Questions.csv");
  check_ok(gh_folder_make(&err, tree));
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FILE, "snapshots/8f2c: no Questions.csv");
  check_ok(gh_folder_make(&err, pictures));
  assert_int_equal(symlink("../../blobs/aa", csv), 0);
  for (int i = 1; i <= 2; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d.jpg", i);
    char *link = check_path(pictures, name);
    assert_int_equal(symlink("../../../../blobs/bb", link), 0);
    free(link);
  }
  check_ok(gh_mmvp_read(&err, &d, here));
  expect_end(&d.images, 1, "snapshots/8f2c/MLLM_VLM Images/T/2.jpg");
  gh_mmvp_free(&d);
  check_put(scratch, "datasets--MMVP--MMVP_VLM/refs/main", "../../..");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FORMAT, "is not a revision");
  check_put(scratch, "datasets--MMVP--MMVP_VLM/refs/main", "1234");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FILE, "an incomplete download?");
  free(pictures);
  free(csv);
  free(tree);
  free(here);
}

static void parquet_is_named(void **state) {
  (void)state;
  gh_mmvp_data d;
  gh_zeroshot_data z;
  gh_retrieval_data r;
  check_put(scratch, "rows/data/test-00000-of-00001.parquet", "PAR1");
  char *here = check_path(scratch, "rows"), *file = check_path(here, "data/test-00000-of-00001.parquet");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_UNSUPPORTED, "parquet is not supported");
  check_fails(gh_mmvp_read(&err, &d, file), GH_ERROR_UNSUPPORTED, "parquet is not supported");
  check_fails(gh_zeroshot_read(&err, &z, &(gh_zeroshot_options){.folder = here}), GH_ERROR_UNSUPPORTED, "parquet");
  check_fails(gh_retrieval_read(&err, &r, here, NULL, NULL), GH_ERROR_UNSUPPORTED, "parquet");
  free(file);
  free(here);
}

/* ---- captions ---- */

static void coco(void **state) {
  (void)state;
  gh_retrieval_data d;
  char *here = check_path(scratch, "coco"), *list = check_path(here, "annotations/captions_val2017.json");
  check_put(scratch, "coco/val2017/000000000002.jpg", "x");
  check_put(scratch, "coco/val2017/000000000009.jpg", "x");
  check_put(
      scratch, "coco/annotations/captions_val2017.json",
      "{\"info\":{},\"licenses\":[],\"images\":[{\"id\":9,\"file_name\":\"000000000009.jpg\"},"
      "{\"id\":5,\"file_name\":\"000000000005.jpg\"},{\"id\":2,\"file_name\":\"000000000002.jpg\"}],"
      "\"annotations\":[{\"image_id\":2,\"id\":1,\"caption\":\"two a\"},{\"image_id\":9,\"id\":3,\"caption\":\"nine\"},"
      "{\"image_id\":2,\"id\":7,\"caption\":\"two b\"}]}");
  check_ok(gh_retrieval_read(&err, &d, here, list, NULL));
  assert_int_equal(d.images.count, 2); /* one has no caption */
  expect_end(&d.images, 0, "coco/val2017/000000000009.jpg");
  expect_end(&d.images, 1, "coco/val2017/000000000002.jpg");
  assert_int_equal(d.captions.count, 3);
  assert_string_equal(d.captions.items[2], "two b");
  assert_true(d.owner[0] == 1 && d.owner[1] == 0 && d.owner[2] == 1);
  gh_retrieval_free(&d);
  char *inside = check_path(here, "val2017");
  check_ok(gh_retrieval_read(&err, &d, inside, list, NULL)); /* or the images' own folder */
  expect_end(&d.images, 0, "coco/val2017/000000000009.jpg");
  gh_retrieval_free(&d);
  check_fails(gh_retrieval_read(&err, &d, here, list, "test"), GH_ERROR_ARGUMENT, "has no splits");
  static const struct {
    const char *text, *says;
  } broken[] = {
      {"{\"images\":[{\"id\":1,\"file_name\":\"a.jpg\"}],\"annotations\":[{\"image_id\":2,\"caption\":\"x\"}]}",
       "annotation 1: there is no image with the id 2"},
      {"{\"images\":[{\"id\":1,\"file_name\":\"a.jpg\"},{\"id\":1,\"file_name\":\"b.jpg\"}],\"annotations\":[]}",
       "two images have the id 1"},
      {"{\"images\":[{\"id\":1,\"file_name\":\"../a.jpg\"}],\"annotations\":[{\"image_id\":1,\"caption\":\"x\"}]}",
       "outside the folder"},
      {"{\"images\":[{\"id\":1,\"file_name\":\"a.jpg\"}],\"annotations\":[{\"image_id\":1,\"bbox\":[1]}]}",
       "no caption"},
      {"{\"images\":[],\"annotations\":[]}", "no image with captions"},
      {"{\"images\":[7],\"annotations\":[]}", "image 1: expected an object"},
      {"{\"pictures\":[]}", "expected a list of"},
  };
  for (size_t i = 0; i < GH_COUNT(broken); i++) {
    check_put(scratch, "coco/annotations/captions_val2017.json", broken[i].text);
    check_fails(gh_retrieval_read(&err, &d, here, list, NULL), GH_ERROR_FORMAT, broken[i].says);
  }
  free(inside);
  free(list);
  free(here);
}

static void karpathy(void **state) {
  (void)state;
  gh_retrieval_data d;
  char *here = check_path(scratch, "karpathy");
  check_put(scratch, "karpathy/val2014/a.jpg", "x");
  check_put(scratch, "karpathy/b.jpg", "x");
  check_put(scratch, "karpathy/c.jpg", "x");
  check_put(scratch, "karpathy/dataset_coco.json",
            "{\"dataset\":\"coco\",\"images\":["
            "{\"filepath\":\"val2014\",\"filename\":\"a.jpg\",\"split\":\"test\",\"sentids\":[1,2],\"sentences\":["
            "{\"tokens\": [\"a\", \"[\", \"\\\"]\"],\"raw\":\"A \\\"tokens\\\": [x].\",\"imgid\":0,\"sentid\":1},"
            "{\"tokens\":[],\"raw\":\"tokens\",\"imgid\":0,\"sentid\":2}]},"
            "{\"filename\":\"b.jpg\",\"split\":\"train\",\"sentences\":[{\"tokens\":[\"b\"],\"raw\":\"B.\"}]},"
            "{\"filename\":\"c.jpg\",\"split\":\"test\",\"sentences\":[{\"raw\":\"C.\",\"tokens\":[\"c\"]}]}]}");
  check_ok(gh_retrieval_read(&err, &d, here, NULL, NULL)); /* the only file of captions; the usual split */
  assert_int_equal(d.images.count, 2);
  expect_end(&d.images, 0, "karpathy/val2014/a.jpg");
  expect_end(&d.images, 1, "karpathy/c.jpg");
  assert_int_equal(d.captions.count, 3);
  assert_string_equal(d.captions.items[0], "A \"tokens\": [x].");
  assert_string_equal(d.captions.items[1], "tokens");
  assert_true(d.owner[1] == 0 && d.owner[2] == 1);
  gh_retrieval_free(&d);
  check_ok(gh_retrieval_read(&err, &d, here, NULL, "train"));
  assert_int_equal(d.images.count, 1);
  gh_retrieval_free(&d);
  check_fails(gh_retrieval_read(&err, &d, here, NULL, "restval"), GH_ERROR_FORMAT,
              "no image of the split \"restval\"; it has test, train");
  check_put(scratch, "karpathy/captions_other.json", "[]");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FILE, "2 files of captions");
  check_put(scratch, "karpathy/captions.json", "[{\"image\":\"b.jpg\",\"captions\":[\"x\"],\"tokens\":[1]}]");
  check_ok(gh_retrieval_read(&err, &d, here, NULL, NULL)); /* our own comes first */
  assert_int_equal(d.images.count, 1);
  gh_retrieval_free(&d);
  check_put(scratch, "karpathy/captions.json", "[{\"image\":\"b.jpg\",\"captions\":[\"x\"],\"tokens\"::[\"a\"]}]");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FORMAT, "captions.json");
  free(here);
}

/* ---- zero-shot ---- */

/* ImageNet's flat val folder with three pictures of two of three classes. */
static void imagenet(void **state) {
  (void)state;
  gh_zeroshot_data d;
  char *here = check_path(scratch, "val"), *parent = check_path(scratch, "lists");
  check_put(scratch, "val/ILSVRC2012_val_00000001.JPEG", "x");
  check_put(scratch, "val/ILSVRC2012_val_00000002.JPEG", "x");
  check_put(scratch, "val/ILSVRC2012_val_00000003.JPEG", "x");
  check_put(scratch, "lists/LOC_synset_mapping.txt",
            "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"
            "n02119789 kit fox, Vulpes macrotis\n");
  check_put(scratch, "lists/map_clsloc.txt", "n02119789 1 kit_fox\nn01440764 449 tench\nn01443537 450 goldfish\n");
  check_put(scratch, "lists/LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000002,n01440764 85 1 499 272 \n"
            "ILSVRC2012_val_00000001,n02119789 1 2 3 4 n02119789 5 6 7 8\n"
            "ILSVRC2012_val_00000003,n02119789 0 0 1 1\n");
  check_put(scratch, "lists/val.txt",
            "ILSVRC2012_val_00000001.JPEG 2\nILSVRC2012_val_00000002.JPEG 0\n"
            "ILSVRC2012_val_00000003.JPEG 2\n");
  check_put(scratch, "lists/ground_truth.txt", "1\n449\n1\n");
  check_put(scratch, "lists/synset_labels.txt", "n02119789\nn01440764\nn02119789\n");
  check_put(scratch, "lists/labels.tsv",
            "filename\tlabel\nILSVRC2012_val_00000001.JPEG\tn02119789\n"
            "ILSVRC2012_val_00000002.JPEG\tn01440764\nILSVRC2012_val_00000003.JPEG\tn02119789\n");
  static const char *const forms[][2] = {{"LOC_val_solution.csv", "LOC_synset_mapping.txt"},
                                         {"val.txt", "LOC_synset_mapping.txt"},
                                         {"ground_truth.txt", "map_clsloc.txt"},
                                         {"synset_labels.txt", "LOC_synset_mapping.txt"},
                                         {"labels.tsv", "map_clsloc.txt"}};
  for (size_t i = 0; i < GH_COUNT(forms); i++) {
    char *labels = check_path(parent, forms[i][0]), *classes = check_path(parent, forms[i][1]);
    const gh_zeroshot_options o = {.folder = here, .labels = labels, .classes = classes};
    check_ok(gh_zeroshot_read(&err, &d, &o));
    assert_int_equal(d.images.count, 3);
    assert_int_equal(d.classes.count, 3);
    for (size_t k = 0; k < 3; k++)
      assert_string_equal(d.classes.items[d.labels[k]], strstr(d.images.items[k], "00002.JPEG") ? "tench" : "kit fox");
    assert_string_equal(d.prompts.items[1], "a photo of a goldfish.");
    gh_zeroshot_free(&d);
    free(labels);
    free(classes);
  }
  char *truth = check_path(parent, "ground_truth.txt"), *map = check_path(parent, "LOC_synset_mapping.txt");
  char *short_list = check_path(parent, "short.txt");
  check_put(scratch, "lists/short.txt", "n02119789\n");
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here, .labels = truth, .classes = map}),
              GH_ERROR_FORMAT, "map_clsloc.txt of ImageNet's development kit");
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here, .labels = short_list, .classes = map}),
              GH_ERROR_FORMAT, "1 labels, one a line, for the 3 images");
  check_put(scratch, "lists/short.txt", "ILSVRC2012_val_00000001.JPEG 3\n");
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here, .labels = short_list, .classes = map}),
              GH_ERROR_FORMAT, "has no class number 3");
  check_put(scratch, "lists/short.txt", "../x.JPEG n02119789\n");
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here, .labels = short_list, .classes = map}),
              GH_ERROR_FORMAT, "is outside the folder");
  check_put(scratch, "lists/short.txt", "ILSVRC2012_val_00000001.JPEG 0\n");
  check_put(scratch, "lists/LOC_synset_mapping.txt", "n01440764 tench\nn02119789 1 kit_fox\n");
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here, .labels = short_list, .classes = map}),
              GH_ERROR_FORMAT, "line 2: expected a synset and its name");
  free(short_list);
  free(truth);
  free(map);
  free(parent);
  free(here);
}

/* Folders named by synsets, with the map beside them. */
static void folders_of_synsets(void **state) {
  (void)state;
  gh_zeroshot_data d;
  char *here = check_path(scratch, "tree");
  check_put(scratch, "tree/n02119789/a.JPEG", "x");
  check_put(scratch, "tree/n01440764/b.JPEG", "x");
  check_put(scratch, "tree/LOC_synset_mapping.txt",
            "n01440764 tench, Tinca tinca\nn02119789 kit fox, Vulpes macrotis\n");
  check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
  assert_string_equal(d.classes.items[d.labels[0]], "tench");
  gh_zeroshot_free(&d);
  free(here);
}

static void headers(void **state) {
  (void)state;
  gh_zeroshot_data d;
  char *here = check_path(scratch, "heads");
  check_put(scratch, "heads/a.png", "x");
  check_put(scratch, "heads/b.png", "x");
  check_put(scratch, "heads/labels.tsv", "image\tclass\na.png\tcat\nb.png\tdog\n");
  check_put(scratch, "heads/classes.tsv", "class\tname\ncat\ttabby cat\ndog\tdog\nemu\temu\n");
  check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
  assert_int_equal(d.images.count, 2);
  assert_int_equal(d.classes.count, 3);
  assert_string_equal(d.classes.items[d.labels[0]], "tabby cat");
  gh_zeroshot_free(&d);
  check_put(scratch, "heads/labels.tsv", "a.png\tcat\nb.png\tdog\n"); /* none */
  check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
  assert_int_equal(d.images.count, 2);
  gh_zeroshot_free(&d);
  check_put(scratch, "heads/labels.tsv", "c.png\tcat\nb.png\tdog\n"); /* a picture that is absent is no header */
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}), GH_ERROR_FILE,
              "a listed image is missing");
  free(here);
}

/* Blanks around a class, which an editor or a table leaves, make no class of their own. */
static void blanks(void **state) {
  (void)state;
  gh_zeroshot_data d;
  char *here = check_path(scratch, "blanks");
  check_put(scratch, "blanks/a.png", "x");
  check_put(scratch, "blanks/b.png", "x");
  check_put(scratch, "blanks/labels.tsv", "a.png\tdog \nb.png\t dog\n");
  check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
  assert_int_equal(d.classes.count, 1);
  assert_string_equal(d.prompts.items[0], "a photo of a dog.");
  gh_zeroshot_free(&d);
  check_put(scratch, "blanks/classes.tsv", "cat \t a cat\ndog\ta dog\t\n");
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}), GH_ERROR_FORMAT, "line 2");
  check_put(scratch, "blanks/classes.tsv", "cat \t a cat\ndog\ta dog\n");
  check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
  assert_string_equal(d.prompts.items[0], "a photo of a a cat.");
  gh_zeroshot_free(&d);
  check_put(scratch, "blanks/classes.tsv", "cat\ta cat\ndog\t \n");
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}), GH_ERROR_FORMAT, "line 2");
  check_put(scratch, "blanks/classes.tsv", "cat\ta cat\ndog\ta dog\n");
  check_put(scratch, "blanks/labels.tsv", "a.png\t  \nb.png\tdog\n");
  check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}), GH_ERROR_FORMAT, "an image name and");
  free(here);
}

static char warned[512];

static void keep_warning(void *user, gh_log_level level, const char *text) {
  (void)user;
  if (level == GH_LOG_WARNING) snprintf(warned, sizeof warned, "%s", text);
}

/* A class folder without a picture is no candidate, and that is said; with a list of classes it is one. */
static void folders_without_pictures(void **state) {
  (void)state;
  gh_zeroshot_data d;
  char *here = check_path(scratch, "empty");
  check_put(scratch, "empty/cat/a.png", "x");
  check_put(scratch, "empty/emu/a.txt", "x");
  check_put(scratch, "empty/fox/deep/a.png", "x");
  check_put(scratch, "empty/gnu/a.gif", "x");
  check_put(scratch, "empty/.hidden/a.txt", "x");
  gh_log_set_writer(keep_warning, NULL);
  check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
  gh_zeroshot_free(&d);
  assert_non_null(strstr(warned, "2 folders without a picture that can be read, such as emu"));
  check_put(scratch, "empty/classes.tsv", "cat\ta\nemu\tb\nfox\tc\ngnu\td\n");
  warned[0] = 0;
  check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
  gh_log_set_writer(NULL, NULL);
  assert_int_equal(d.classes.count, 4);
  assert_null(strstr(warned, "without a picture"));
  gh_zeroshot_free(&d);
  free(here);
}

/* A picture whose link leads to nothing is not fewer pictures: reading it fails. */
static void links_to_nothing(void **state) {
  (void)state;
  gh_zeroshot_data d;
  char *here = check_path(scratch, "linked"), *link = check_path(here, "cat/b.png");
  check_put(scratch, "linked/cat/a.png", "x");
  assert_int_equal(symlink("nowhere", link), 0);
  check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
  assert_int_equal(d.images.count, 2);
  expect_end(&d.images, 1, "cat/b.png");
  gh_zeroshot_free(&d);
  free(link);
  free(here);
}

/* Lists of templates copied from a program: their quotes and commas are no part of a prompt. */
static void templates_of_programs(void **state) {
  (void)state;
  static const char *const refused[] = {"'a photo of a {}.',\n",
                                        "  \"a photo of a {}.\"\n",
                                        "[\"a {}\", \"the {}\"]\n",
                                        "lambda c: f'a {}'\n",
                                        "\"a {}\",\n",
                                        "a photo.\n",
                                        "a {c}.\n"};
  static const char *const taken[] = {"a \"{}\".\n", "'{}' in a photo\n", "\xEF\xBB\xBFthe {}, and {}\r\n"};
  gh_zeroshot_data d;
  char *here = check_path(scratch, "programs");
  check_put(scratch, "programs/cat/a.png", "x");
  for (size_t i = 0; i < GH_COUNT(refused); i++) {
    check_put(scratch, "programs/templates.txt", refused[i]);
    check_fails(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}), GH_ERROR_FORMAT, "line 1: ");
  }
  for (size_t i = 0; i < GH_COUNT(taken); i++) {
    check_put(scratch, "programs/templates.txt", taken[i]);
    check_ok(gh_zeroshot_read(&err, &d, &(gh_zeroshot_options){.folder = here}));
    assert_int_equal(d.templates.count, 1);
    gh_zeroshot_free(&d);
  }
  free(here);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mmvp_of_a_spreadsheet),
      cmocka_unit_test(mmvp_of_a_hub),
      cmocka_unit_test(parquet_is_named),
      cmocka_unit_test(coco),
      cmocka_unit_test(karpathy),
      cmocka_unit_test(imagenet),
      cmocka_unit_test(folders_of_synsets),
      cmocka_unit_test(headers),
      cmocka_unit_test(blanks),
      cmocka_unit_test(folders_without_pictures),
      cmocka_unit_test(links_to_nothing),
      cmocka_unit_test(templates_of_programs),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
