/* Runs the kernels of a PABitConv, or of a PALevelConv where there are levels, from a library, without onnxruntime:
 * run_kernels LIBRARY LEVEL JOB OUTPUT.
 *
 * JOB: F_COUNT int64 argument fields, then the memory they point into; a pointer is stored as its offset + 1 in that
 * memory, 0 for none. OUTPUT gets the memory after all tasks have run. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "paconv_tables.h"

typedef void (*Task)(void *, size_t);
typedef void (*(*Find)(const char *, const char *, int64_t, int64_t, int64_t *))(void);

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
  for (int k = F_x; k <= F_offset_taps; k++) f[k] = f[k] ? (int64_t)(intptr_t)memory + f[k] - 1 : 0;

  const int64_t D = f[F_D]; /* 0: bit planes; else digits of level codes, which are bytes or words here */
  void (*accumulate)(void) =
      D ? find(argv[2], "accumulate_codes", f[F_digit_bits] == 8 ? FORMAT_byte : FORMAT_word, 0, &f[F_tile])
        : find(argv[2], "accumulate", f[F_M], f[F_N], &f[F_tile]);
  Task coding = (Task)find(argv[2], "prepare_coding", 0, 0, &bytes);
  Task prepare = (Task)find(argv[2], D ? "prepare_codes" : "prepare_weights", 0, 0, &bytes);
  const char *gathers[2][2] = {{"gather", "gather_codes"}, {"gather_levels", "gather_level_codes"}};
  Task gather = (Task)find(argv[2], gathers[f[F_levels] != 0][D != 0], 0, 0, &bytes);
  Task fold = (Task)find(argv[2], "fold", 0, 0, &bytes);
  Task conv = (Task)find(argv[2], D ? "conv_codes" : "conv", 0, 0, &bytes);
  if (!accumulate || !coding || !prepare || !gather || !fold || !conv) return fprintf(stderr, "no kernels for %s\n", argv[2]), 6;
  f[F_accumulate] = (int64_t)(intptr_t)accumulate;
  if (D) f[F_tile_blocks] = f[F_tile] / 256, f[F_tile] %= 256;
  fseek(job, 0, SEEK_END);
  bytes = ftell(job) - start;
  if (D) {
    coding(f, 0);
    uint8_t *words = (uint8_t *)(intptr_t)f[F_words];
    const int high = (int)((const double *)(intptr_t)f[F_coding])[3];
    for (int64_t k = 0; k < f[F_B] * f[F_G] * f[F_Hp] * f[F_Wp] * f[F_CW] * D * 4; k++)
      words[k] = (uint8_t)high;
  }
  for (int64_t t = 0; t < f[F_G] * f[F_OB]; t++) prepare(f, (size_t)t);
  const int64_t *sums = (const int64_t *)(intptr_t)f[F_span_sums];
  int k = 0, fits = 1;
  for (; k < SPANS && fits; k++)
    for (int64_t t = 0; t < f[F_G] * f[F_OB]; t++) fits &= sums[t * SPANS + k] <= INT32_MAX;
  f[F_span] = (int64_t)MIN_SPAN << (k - (fits ? 1 : 2));
  for (int64_t t = 0; t < f[F_B] * f[F_G] * f[F_gather_parts] * f[F_gather_runs]; t++) gather(f, (size_t)t);
  for (int64_t t = 0; f[F_folded] && t < f[F_B] * f[F_G] * f[F_Hp]; t++) fold(f, (size_t)t);
  for (int64_t t = 0; t < f[F_B] * f[F_G] * f[F_pixel_chunks] * f[F_block_chunks]; t++) conv(f, (size_t)t);
  FILE *output = fopen(argv[4], "wb");
  return !output || fwrite(memory, 1, (size_t)bytes, output) != (size_t)bytes || fclose(output) || f[F_error];
}
