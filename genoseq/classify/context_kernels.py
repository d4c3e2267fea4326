"""Compiled loops of the context mixture: counting symbols by context, and code lengths under all classes in one pass.

Counts of low orders lie in a plain table, those of high orders in a hash table.

The plain table of an order is int32 ``(contexts, symbols + 1, lanes)``: a row of counts for each symbol and a row of
their sums. ``lanes`` is the number of classes rounded up to 8, so that a row is one or more whole cache lines.

A slot of the hash table is a uint64: 32 bits of the packed context (the tag), then 32 bits of payload. Where only one
symbol of one class was ever seen behind a context, as is the rule at high orders, the payload is that entry. Otherwise
it is ``LIST`` and the place of the first entry of a list, whose last entry carries the bit ``LIST``. An entry is
``class << 18 | symbol << 13 | count``; a list ascends by class and symbol. Counts of entries stop at ``MOST``. Eight slots
are a bucket, one cache line, filled from its begin; what does not fit into the bucket that the context decides is filed in the
next one. No context has more than 32 bits that count (16 bases, 6 residues), so the tag is all of it and look-ups are exact.
"""

from __future__ import annotations

import numpy as np

from genoseq.classify.lanes import LANES, give_counts, give_entries, give_entry, lowest, match, mix
from genoseq.kernels import kernel, lean_kernel, prefetch

__all__ = [
    "CLASS_BITS",
    "COUNT_BITS",
    "EMPTY",
    "LIST",
    "MOST",
    "SYMBOL_BITS",
    "add_counts",
    "add_entries",
    "code_lengths",
    "context_keys",
    "count_rows",
    "fill_slots",
    "group_sizes",
    "read_slots",
]

SYMBOL_BITS, COUNT_BITS, CLASS_BITS = 5, 13, 13
MOST = (1 << COUNT_BITS) - 1
KEY_BITS = CLASS_BITS + SYMBOL_BITS
KEY_SHIFT = COUNT_BITS + SYMBOL_BITS
LIST = 1 << 31
LOW = (1 << 32) - 1
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
HALF = np.uint64(32)

NOTHING = ((1 << CLASS_BITS) - 1) << KEY_SHIFT
"""Payload of a context that was never seen: a count of 0."""

AHEAD = 16
"""Symbols between the hint to the memory about a context and its use, where counts are changed."""

BLOCK = 32
"""Symbols that are looked up together, ahead of their use."""

PRODUCT = 16
"""Symbols whose probabilities are multiplied before one logarithm is taken."""


@lean_kernel
def home_of(context, slots):
    """The first slot of the bucket at which the search for a context begins."""
    mixed = np.uint64(context + 1) * MULTIPLIER
    mixed = (mixed ^ (mixed >> np.uint64(29))) * MULTIPLIER
    return np.int64(((mixed >> HALF) * np.uint64(slots // LANES)) >> HALF) * LANES


@lean_kernel
def find(table, first, slots, context, at):
    """Place of the slot of a context, its bucket and those behind searched from ``at`` on; one that is empty if it has none."""
    tag = np.uint64(context & LOW)
    while True:
        found = match(table, first + at, tag)
        if found:
            return first + at + lowest(found)
        if table[first + at + LANES - 1] == EMPTY:
            return first + at + LANES - 1
        at += LANES
        if at == slots:
            at = 0


@lean_kernel
def packed(context, segments):
    """The bits of a context that count, side by side; ``segments`` (s, 2) holds stretches of them and how far each one moves."""
    kept = np.int64(0)
    for k in range(len(segments)):
        if segments[k, 0] == 0:
            break
        kept |= (context & segments[k, 0]) >> segments[k, 1]
    return kept


@lean_kernel
def count_rows(codes, offsets, labels, segments, span, width, symbols, lanes, table, first, change):
    """Add ``change`` to the counts of one plain order for each symbol of each sequence; its rows begin at ``first``."""
    top = (np.int64(1) << (width * span)) - 1
    for s in range(len(labels)):
        label = labels[s]
        context = np.int64(0)
        run = 0
        for i in range(offsets[s], offsets[s + 1]):
            code = np.int64(codes[i])
            if code >= symbols:
                context = 0
                run = 0
                continue
            if run >= span:
                row = first + packed(context, segments) * (symbols + 1)
                table[(row + code) * lanes + label] += change
                table[(row + symbols) * lanes + label] += change
            context = ((context << width) | code) & top
            run += 1


@lean_kernel
def context_keys(codes, offsets, labels, segments, span, width, symbols, keys):
    """Write ``context, class, symbol`` of each symbol that has a whole context before it as one uint64; return how many."""
    top = (np.int64(1) << (width * span)) - 1
    n = 0
    for s in range(len(labels)):
        label = np.int64(labels[s])
        context = np.int64(0)
        run = 0
        for i in range(offsets[s], offsets[s + 1]):
            code = np.int64(codes[i])
            if code >= symbols:
                context = 0
                run = 0
                continue
            if run >= span:
                keys[n] = np.uint64((((packed(context, segments) << CLASS_BITS) | label) << SYMBOL_BITS) | code)
                n += 1
            context = ((context << width) | code) & top
            run += 1
    return n


@lean_kernel
def add_counts(keys, weights, key_counts):
    """Shorten sorted keys to distinct ones, in place, and sum their weights into ``key_counts``; return how many remain."""
    n = 0
    for i in range(len(keys)):
        if n and keys[n - 1] == keys[i]:
            key_counts[n - 1] += weights[i] if len(weights) else 1
        else:
            keys[n] = keys[i]
            key_counts[n] = weights[i] if len(weights) else 1
            n += 1
    return n


@lean_kernel
def group_sizes(keys):
    """Of sorted distinct keys: how many contexts they have, and how many entries stand in lists."""
    contexts = 0
    listed = 0
    i = 0
    while i < len(keys):
        context = keys[i] >> np.uint64(KEY_BITS)
        j = i + 1
        while j < len(keys) and (keys[j] >> np.uint64(KEY_BITS)) == context:
            j += 1
        contexts += 1
        if j - i > 1:
            listed += j - i
        i = j
    return contexts, listed


@lean_kernel
def fill_slots(keys, counts, table, first, slots, entries, at):
    """File sorted distinct keys in empty slots, their lists from ``entries[at]`` on; return where these end."""
    low = np.uint64((1 << KEY_BITS) - 1)
    i = 0
    while i < len(keys):
        context = np.int64(keys[i] >> np.uint64(KEY_BITS))
        j = i + 1
        while j < len(keys) and np.int64(keys[j] >> np.uint64(KEY_BITS)) == context:
            j += 1
        payload = np.int64(0)
        if j - i == 1:
            payload = (np.int64(keys[i] & low) << COUNT_BITS) | min(np.int64(counts[i]), MOST)
        else:
            payload = LIST | at
            for k in range(i, j):
                entry = (np.int64(keys[k] & low) << COUNT_BITS) | min(np.int64(counts[k]), MOST)
                entries[at] = np.uint32(entry | (LIST if k == j - 1 else 0))
                at += 1
        place = find(table, first, slots, context, home_of(context, slots))
        while (place - first) % LANES and table[place - 1] == EMPTY:
            place -= 1
        table[place] = (np.uint64(context & LOW) << HALF) | np.uint64(payload)
        i = j
    return at


@lean_kernel
def read_slots(table, first, slots, entries, keys, counts):
    """Write all keys and counts of a hashed order, in no order; return how many. With empty ``keys`` they are only counted."""
    n = 0
    for place in range(first, first + slots):
        slot = table[place]
        if slot == EMPTY:
            continue
        context = np.int64(slot >> HALF)
        payload = np.int64(slot & np.uint64(LOW))
        at = payload & (LIST - 1)
        while True:
            entry = payload
            if payload & LIST:
                entry = np.int64(entries[at])
            value = entry & (LIST - 1)
            if len(keys):
                keys[n] = np.uint64((context << KEY_BITS) | (value >> COUNT_BITS))
                counts[n] = value & MOST
            n += 1
            if not (payload & LIST) or entry & LIST:
                break
            at += 1
    return n


@lean_kernel
def _changed(entry, change):
    """An entry with its count changed; one that stopped counting stays as it is."""
    count = entry & MOST
    if count == MOST:
        return entry
    return (entry & ~MOST) | min(max(count + change, 0), MOST)


@kernel
def add_entries(codes, offsets, labels, segments, span, width, symbols, table, first, slots, entries, change):
    """Add ``change`` to the counts of one hashed order; entries that do not exist are passed over.

    Meant to take sequences out of the counts and to put them back.
    """
    top = (np.int64(1) << (width * span)) - 1
    waiting = np.empty((AHEAD, 3), np.int64)
    for s in range(len(labels)):
        label = np.int64(labels[s])
        start, end = offsets[s], offsets[s + 1]
        context = np.int64(0)
        run = 0
        for t in range(start, end + AHEAD):
            if t - AHEAD >= start:
                at = waiting[t % AHEAD, 0]
                if at >= 0:
                    place = find(table, first, slots, waiting[t % AHEAD, 1], at)
                    slot = table[place]
                    wanted = (label << SYMBOL_BITS) | waiting[t % AHEAD, 2]
                    payload = np.int64(slot & np.uint64(LOW))
                    if slot == EMPTY:
                        pass
                    elif payload & LIST:
                        k = payload & (LIST - 1)
                        while True:
                            entry = np.int64(entries[k])
                            if (entry & (LIST - 1)) >> COUNT_BITS == wanted:
                                entries[k] = np.uint32(_changed(entry, change))
                                break
                            if entry & LIST:
                                break
                            k += 1
                    elif payload >> COUNT_BITS == wanted:
                        table[place] = (slot & ~np.uint64(LOW)) | np.uint64(_changed(payload, change))
            if t >= end:
                waiting[t % AHEAD, 0] = -1
                continue
            code = np.int64(codes[t])
            waiting[t % AHEAD, 0] = -1
            if code >= symbols:
                context = 0
                run = 0
                continue
            if run >= span:
                own = packed(context, segments)
                at = home_of(own, slots)
                prefetch(table, first + at)
                waiting[t % AHEAD, 0] = at
                waiting[t % AHEAD, 1] = own
                waiting[t % AHEAD, 2] = code
            context = ((context << width) | code) & top
            run += 1


@lean_kernel
def _contexts(codes, begin, end, offsets, state, width, symbols, top, behind, runs):
    """What lies behind the symbols ``begin`` to ``end``, packed, and how many symbols that are; -1 for one that is not coded.

    ``state`` is the number of the sequence, then the context and the run that go on.
    """
    s, context, run = state[0], state[1], state[2]
    for i in range(begin, end):
        while i >= offsets[s + 1]:
            s += 1
            context = 0
            run = 0
        code = np.int64(codes[i])
        behind[i - begin] = context
        if code >= symbols:
            runs[i - begin] = -1
            context = 0
            run = 0
            continue
        runs[i - begin] = run
        context = ((context << width) | code) & top
        run += 1
    state[0], state[1], state[2] = s, context, run


@lean_kernel
def _packed_all(behind, segments, kept):
    """:func:`packed` of many contexts."""
    for k in range(len(kept)):
        kept[k] = 0
    for s in range(len(segments)):
        mask, shift = segments[s, 0], segments[s, 1]
        if mask == 0:
            break
        for k in range(len(kept)):
            kept[k] |= (behind[k] & mask) >> shift


@lean_kernel
def _rows_all(own, runs, span, row, symbols, places):
    """First row of each context in the plain table; -1 where the context is not whole."""
    for k in range(len(places)):
        places[k] = row + own[k] * (symbols + 1) if runs[k] >= span else -1


@lean_kernel
def _homes_all(own, runs, span, first, slots, places):
    """Place of each context's home in the hash table; -1 where the context is not whole."""
    for k in range(len(places)):
        places[k] = first + home_of(own[k], slots) if runs[k] >= span else -1


@lean_kernel
def _payload(table, first, slots, place, context, entries):
    """What is filed behind a context whose home is ``place``; `NOTHING` if it is not there."""
    if place < 0:
        return np.int64(NOTHING)
    found = match(table, place, np.uint64(context & LOW))
    slot = table[place + lowest(found | (1 << (LANES - 1)))]  # or the bucket's last one
    if found == 0 and slot != EMPTY:
        slot = table[find(table, first, slots, context, place - first)]
    payload = np.int64(NOTHING) if slot == EMPTY else np.int64(slot & np.uint64(LOW))
    prefetch(entries, (payload & (LIST - 1)) if payload & LIST else 0)
    return payload


@kernel
def code_lengths(
    codes,
    offsets,
    segments,
    spans,
    width,
    symbols,
    lanes,
    rows,
    dense,
    firsts,
    sizes,
    table,
    entries,
    alphas,
    priors,
    share,
    bits,
    scored,
):
    """Code length in bits of each sequence under each class.

    The symbols of all sequences go in blocks through three steps: where the counts of their contexts lie, and a hint to the
    memory to fetch them; then what the hash tables hold; then the mixture, whose weights begin anew with each sequence. While
    one block is mixed the next one is fetched.

    Args:
        codes: uint8, sequences one after another; a code of ``symbols`` or more is not coded and ends the context.
        offsets: int64 (n + 1,).
        segments: int64 (J, s, 2), see `packed`.
        spans: int64 (J,), how many symbols a context reaches back.
        rows: int64 (J,), first row of a plain order; -1 of a hashed one.
        dense: int32, flat.
        firsts, sizes: int64 (J,), first slot and number of slots of a hashed order.
        table: uint64, flat.
        entries: uint32, flat.
        alphas, priors: float32 (J,).
        share: float, the part of the weights that is dealt out anew by ``priors`` after each symbol.
        bits: float64 (n, classes), written.
        scored: int64 (n,), written: how many symbols were coded.
    """
    n_orders = len(spans)
    classes = bits.shape[1]
    keep = np.float32(1.0 - share)
    uniform = np.float32(1.0 / symbols)
    floors = np.empty(n_orders, np.float32)
    dealt = np.empty(n_orders, np.float32)
    longest = 0
    for j in range(n_orders):
        floors[j] = np.float32(symbols) * alphas[j]
        dealt[j] = np.float32(share) * priors[j]
        longest = max(longest, spans[j])
    top = (np.int64(1) << (width * longest)) - 1
    weights = np.empty(n_orders * lanes, np.float32)
    p = np.empty(n_orders * lanes, np.float32)
    product = np.ones(lanes, np.float64)
    state = np.zeros(3, np.int64)
    behind = np.empty(BLOCK, np.int64)
    runs = np.empty(BLOCK, np.int64)
    own = np.empty((n_orders, BLOCK), np.int64)
    places = np.empty((2, n_orders, BLOCK), np.int64)  # of this block and the next: rows of plain orders; homes, then payloads
    n = len(codes)
    bits[:] = 0.0
    scored[:] = 0
    s = -1
    done = 0
    ended = np.int64(0)
    for begin in range(-BLOCK, n, BLOCK):
        now, later = places[(begin // BLOCK) & 1], places[(begin // BLOCK + 1) & 1]
        # the next block: where to look
        ahead = min(max(n - begin - BLOCK, 0), BLOCK)
        _contexts(codes, begin + BLOCK, begin + BLOCK + ahead, offsets, state, width, symbols, top, behind, runs)
        for j in range(n_orders):
            _packed_all(behind, segments[j], own[j])
            if rows[j] >= 0:
                _rows_all(own[j], runs, spans[j], rows[j], symbols, later[j])
            else:
                _homes_all(own[j], runs, spans[j], firsts[j], sizes[j], later[j])
        # this block: mix
        for k in range(BLOCK):
            if k < ahead:
                code = np.int64(codes[begin + BLOCK + k])
                for j in range(n_orders):
                    place = max(later[j, k], 0)
                    if rows[j] >= 0:
                        prefetch(dense, (place + code) * lanes)
                        prefetch(dense, (place + symbols) * lanes)
                    else:
                        prefetch(table, place)
            i = begin + k
            if i < 0 or i >= n:
                continue
            while i >= ended:
                if s >= 0:
                    for c in range(classes):
                        bits[s, c] -= np.log2(product[c])
                    scored[s] = done
                s += 1
                ended = offsets[s + 1]
                done = 0
                product[:] = 1.0
                for j in range(n_orders):
                    weights[j * lanes : (j + 1) * lanes] = priors[j]
            code = np.int64(codes[i])
            if code >= symbols:
                continue
            for j in range(n_orders):
                place = now[j, k]
                at = j * lanes
                if rows[j] >= 0:
                    for b in range(0, lanes, LANES):
                        seen, total = (place + code) * lanes + b, (place + symbols) * lanes + b
                        give_counts(dense, seen if place >= 0 else -1, total, alphas[j], floors[j], p, at + b)
                elif place & LIST:
                    entry = place & (LIST - 1)
                    for b in range(0, lanes, LANES):
                        entry = give_entries(entries, entry, KEY_SHIFT, COUNT_BITS, b, code, alphas[j], floors[j], p, at + b)
                else:
                    count = np.float32(place & MOST)
                    hit = (place >> COUNT_BITS) & ((1 << SYMBOL_BITS) - 1) == code
                    value = ((count if hit else np.float32(0)) + alphas[j]) / (count + floors[j])
                    for b in range(0, lanes, LANES):
                        give_entry((place >> KEY_SHIFT) - b, value, uniform, p, at + b)
            for b in range(0, lanes, LANES):
                mix(p, weights, n_orders, lanes, b, product, keep, dealt)
            done += 1
            if done % PRODUCT == 0:
                for c in range(classes):
                    bits[s, c] -= np.log2(product[c])
                product[:] = 1.0
        # the next block: what hash tables hold
        for j in range(n_orders):
            if rows[j] < 0:
                for k in range(ahead):
                    later[j, k] = _payload(table, firsts[j], sizes[j], later[j, k], own[j, k], entries)
    if s >= 0:
        for c in range(classes):
            bits[s, c] -= np.log2(product[c])
        scored[s] = done
