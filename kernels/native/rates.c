/* Reading measured rates. A file holds lines "planes M N nanoseconds" and "codes KIND 0 nanoseconds"; one that is not
 * complete is not used at all, nor is one that another user owns. */
#include "rates.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

/* Writes the file's path: in PACONV_CACHE, or else in the user's cache folder. Returns its length, 0 if there is none. */
EXPORT size_t paconv_rates_path(const char *cpu, char *path, size_t size) {
  const char *cache = getenv("PACONV_CACHE"), *user = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  char own[64];
  cpu_name(own, sizeof own);
  for (char *c = own; *c; c++)
    if (!isalnum((unsigned char)*c)) *c = '-';
  int length = 0;
  if (cache && *cache)
    length = snprintf(path, size, "%s/kernel-rates/%s-%s.txt", cache, cpu, own);
  else if (user && *user)
    length = snprintf(path, size, "%s/paconv/kernel-rates/%s-%s.txt", user, cpu, own);
  else if (home && *home)
    length = snprintf(path, size, "%s/.cache/paconv/kernel-rates/%s-%s.txt", home, cpu, own);
  return length > 0 && (size_t)length < size ? (size_t)length : 0;
}

void read_rates(const char *cpu, Rates *rates) {
  char path[1024], word[16];
  long first, second;
  double nanoseconds;
  if (!paconv_rates_path(cpu, path, sizeof path)) return;
  FILE *file = open_own(path);
  if (!file) return;
  Rates found;
  memset(&found, 0, sizeof found);
  int lines = 0, expected = MAX_PLANES * MAX_PLANES, fields;
  while ((fields = fscanf(file, "%15s %ld %ld %lf", word, &first, &second, &nanoseconds)) == 4) {
    if (!(nanoseconds > 0 && nanoseconds < 1e9) || first < 1 || second < 0 || first > MAX_PLANES || second > MAX_PLANES) break;
    double *rate = !strcmp(word, "planes") && second ? &found.planes[first][second]
                   : !strcmp(word, "codes") && !second && first < KIND_COUNT && rates->codes[first] > 0 ? &found.codes[first]
                                                                                                         : NULL;
    if (!rate || *rate > 0) break;
    *rate = nanoseconds, lines++;
  }
  fclose(file);
  for (int kind = 0; kind < KIND_COUNT; kind++) expected += rates->codes[kind] > 0;
  if (fields == EOF && lines == expected) *rates = found;
}
