/* Counts words: one task per text, given as standard input.
 *
 *     words [most]      (default: 10)
 *
 * Prints how many words there are and how many different ones, then the most frequent, frequent first. A word is a run
 * of letters, apostrophes inside it included; bytes above 127 count as letters, so UTF-8 passes through. */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 63 }; /* longer words are cut */

struct word { char text[LONGEST + 1]; uint32_t hash; unsigned long count; };

static struct word *table;
static size_t slots, used;

static struct word *find(struct word *in, size_t size, const char *text, uint32_t hash) {
    size_t at = hash & (size - 1);
    while (in[at].count && strcmp(in[at].text, text)) at = (at + 1) & (size - 1);
    return &in[at];
}

static void grow(void) {
    size_t size = slots ? 2 * slots : 1024;
    struct word *larger = calloc(size, sizeof *larger);
    if (!larger) {
        fprintf(stderr, "words: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < slots; i++)
        if (table[i].count) *find(larger, size, table[i].text, table[i].hash) = table[i];
    free(table);
    table = larger, slots = size;
}

static void count(const char *text) {
    if (2 * used >= slots) grow();
    uint32_t hash = 2166136261u;
    for (const char *c = text; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
    struct word *word = find(table, slots, text, hash);
    if (!word->count++) {
        used++;
        strcpy(word->text, text);
        word->hash = hash;
    }
}

static int frequent_first(const void *a, const void *b) {
    const struct word *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return strcmp(x->text, y->text);
}

int main(int argc, char **argv) {
    long most = argc > 1 ? atol(argv[1]) : 10;
    unsigned long words = 0;
    char word[LONGEST + 1];
    size_t length = 0;
    for (int c = getchar();; c = getchar()) {
        int letter = c != EOF && (isalpha(c) || c > 127 || (c == '\'' && length));
        if (letter && length < LONGEST) word[length++] = (char)tolower(c);
        if (letter) continue;
        while (length && word[length - 1] == '\'') length--;
        if (length) word[length] = 0, words++, count(word);
        length = 0;
        if (c == EOF) break;
    }
    size_t kept = 0;
    for (size_t i = 0; i < slots; i++)
        if (table[i].count) table[kept++] = table[i];
    if (kept) qsort(table, kept, sizeof *table, frequent_first);
    printf("%lu words, %zu different\n", words, used);
    for (size_t i = 0; i < kept && (long)i < most; i++) printf("%lu %s\n", table[i].count, table[i].text);
    return 0;
}
