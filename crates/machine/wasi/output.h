// The output stream: ../src/output.rs has its records.

SHARED void emit(u64 word) {
  u32 words = GET(out_words);
  switch (words) {
    case 0: SET(out_0, word); break;
    case 1: SET(out_1, word); break;
    case 2: SET(out_2, word); break;
    default:
      SET(out_words, 0);
      host_out32(GET(out_0), GET(out_1), GET(out_2), word, 32);
      return;
  }
  SET(out_words, words + 1);
}

INLINE void emit_header(u32 kind, u32 id, u32 len) { emit(kind | (u64)(id & 0xffffff) << 8 | (u64)len << 32); }

// Fills up the leaf so that nothing is left in the buffer.
SHARED void emit_pads(void) { while (GET(out_words)) emit(0); }

// Memory of several buffers (iovecs) as whole words: `fill` bytes of `word` are waiting.
SHARED void emit_buffers(u32 iovs, u32 count) {
  u64 word = 0;
  u32 fill = 0;
  for (; count; count--, iovs += 8) {
    u32 at = load32(iovs), len = load32(iovs + 4);
    while (fill == 0 && len >= 8) {
      if (len >= 32 && GET(out_words) == 0) {
        host_out32(load64(at), load64(at + 8), load64(at + 16), load64(at + 24), 32);
        at += 32; len -= 32;
      } else {
        emit(load64(at));
        at += 8; len -= 8;
      }
    }
    while (len >= 8) {
      u64 next = load64(at);
      emit(word | next << fill * 8);
      word = next >> (8 - fill) * 8;
      at += 8; len -= 8;
    }
    for (; len; at++, len--) {
      word |= (u64)load8(at) << fill * 8;
      if (++fill == 8) { emit(word); word = 0; fill = 0; }
    }
  }
  if (fill) emit(word);
}

__attribute__((export_name("rialto_flush"))) void rialto_flush(void) {
  u32 words = GET(out_words);
  if (!words) return;
  SET(out_words, 0);
  host_out32(GET(out_0), words > 1 ? GET(out_1) : 0, words > 2 ? GET(out_2) : 0, 0, words * 8);
}

