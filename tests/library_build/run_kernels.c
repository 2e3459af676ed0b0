/* Runs the kernels of a PABitConv, of a PALevelConv where there are levels, or of a PADepthwiseConv where there are
 * tap_weights, from a library, without onnxruntime: run_kernels LIBRARY LEVEL JOB OUTPUT.
 *
 * JOB: F_COUNT int64 argument fields, then the memory they point into; a pointer is stored as its offset + 1 in that
 * memory, 0 for none. F_accumulate holds the kind of products, KIND_planes for none. OUTPUT gets the memory after all
 * tasks have run. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "paconv_tables.h"

typedef void (*Task)(void *, size_t);
typedef void (*(*Find)(const char *, const char *, int64_t, int64_t))(void);

static int write_all(const char *path, const char *memory, size_t bytes) {
  FILE *output = fopen(path, "wb");
  return output && fwrite(memory, 1, bytes, output) == bytes && !fclose(output);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 3;
  Find find = (Find)dlsym(library, "paconv_kernel");
  FILE *job = fopen(argv[3], "rb");
  int64_t f[F_COUNT], bytes;
  if (!job || fread(f, sizeof *f, F_COUNT, job) != F_COUNT) return 4;
  const long start = ftell(job);
  fseek(job, 0, SEEK_END);
  bytes = ftell(job) - start;
  fseek(job, start, SEEK_SET);
  char *memory = aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64);
  if (fread(memory, 1, (size_t)bytes, job) != (size_t)bytes) return 5;
  for (int k = F_x; k <= F_tap_weights; k++) f[k] = f[k] ? (int64_t)(intptr_t)memory + f[k] - 1 : 0;

  if (f[F_tap_weights]) {
    f[F_accumulate] = (int64_t)(intptr_t)find(argv[2], "depthwise_sums", 0, 0);
    Task depthwise_conv = (Task)find(argv[2], "depthwise_conv", 0, 0);
    if (!f[F_accumulate] || !depthwise_conv) return fprintf(stderr, "no kernels for %s\n", argv[2]), 6;
    for (int64_t t = 0; t < f[F_B] * f[F_OH]; t++) depthwise_conv(f, (size_t)t);
    return !write_all(argv[4], memory, (size_t)bytes);
  }
  static int64_t planes[MAX_PLANES + 1][MAX_PLANES + 1];
  const int64_t coded = f[F_coded];
  if (coded) {
    f[F_accumulate] = (int64_t)(intptr_t)find(argv[2], "accumulate_codes", f[F_accumulate], 0);
  } else {
    f[F_accumulate] = (int64_t)(intptr_t)planes;
    for (int m = 1; m <= MAX_PLANES; m++)
      for (int n = 1; n <= MAX_PLANES; n++) planes[m][n] = (int64_t)(intptr_t)find(argv[2], "accumulate", m, n);
  }
  Task coding = (Task)find(argv[2], "prepare_coding", 0, 0);
  Task prepare = (Task)find(argv[2], coded ? "prepare_codes" : "prepare_weights", 0, 0);
  const char *gathers[2][2] = {{"gather", "gather_codes"}, {"gather_levels", "gather_level_codes"}};
  Task gather = (Task)find(argv[2], gathers[f[F_levels] != 0][coded], 0, 0);
  Task window_rows = (Task)find(argv[2], "window_rows", 0, 0);
  Task conv = (Task)find(argv[2], coded ? "conv_codes" : "conv", 0, 0);
  if (!f[F_accumulate] || !coding || !prepare || !gather || !window_rows || !conv)
    return fprintf(stderr, "no kernels for %s\n", argv[2]), 6;
  coding(f, 0);
  if (coded) /* window padding; the gather writes the rest */
    memset((void *)(intptr_t)f[F_words], (int)((const double *)(intptr_t)f[F_coding])[CODING_zero],
           (size_t)(f[F_B] * f[F_G] * f[F_Hp] * f[F_Wp] * f[F_CW] * 4));
  for (int64_t t = 0; t < f[F_G] * f[F_OB]; t++) prepare(f, (size_t)t);
  const int64_t *sums = (const int64_t *)(intptr_t)f[F_span_sums];
  int k = 0, fits = 1;
  for (; k < SPANS && fits; k++)
    for (int64_t t = 0; t < f[F_G] * f[F_OB]; t++) fits &= sums[t * SPANS + k] <= INT16_MAX;
  f[F_span] = (int64_t)MIN_SPAN << (k - (fits ? 1 : 2));
  for (int64_t t = 0; t < f[F_B] * f[F_G] * f[F_gather_parts] * f[F_gather_runs]; t++) gather(f, (size_t)t);
  for (int64_t t = 0; f[F_by_rows] && t < f[F_B] * f[F_G] * f[F_Hp]; t++) window_rows(f, (size_t)t);
  for (int64_t t = 0; t < f[F_B] * f[F_G] * f[F_pixel_chunks] * f[F_block_chunks]; t++) conv(f, (size_t)t);
  return !write_all(argv[4], memory, (size_t)bytes) || f[F_error];
}
