#!/usr/bin/env python3
"""Draws a flame graph from what `perf script` prints, and says whose code takes the time.

    flame.py STACKS OUT.svg TITLE

The table goes to standard output: for each part, the share of samples in which its code ran itself,
and its functions with the most. The picture has no script in it: names and shares show under the pointer. No dependencies.
"""

import collections
import html
import re
import sys

WIDTH, ROW, FONT = 1200, 16, 11
# Frames narrower than this many pixels are left out: they could not be seen, and are most of the file.
NARROWEST = 1.0
# Above this many frames a stack is cut.
DEEPEST = 90

# Whose code a function is, by the first pattern that its name or its file matches.
PARTS = [
    ("kernel", r"^\[k\]"),
    ("feishu-id", r"^<?&?(mut )?feishu_id|\bfeishu_id::"),
    ("allocator (mimalloc)", r"^_?mi_|mimalloc"),
    ("protobuf (prost)", r"\bprost"),
    ("HTTP/2 (h2, hyper, http)", r"\b(h2|hyper|hyper_util|http|http_body|http_body_util|httparse)::"),
    ("gRPC (tonic, tower)", r"\b(tonic\w*|tower\w*|axum\w*)::"),
    ("cache (quick_cache)", r"\b(quick_cache|hashbrown|siphasher)::|core::hash|sip13"),
    ("runtime (tokio, mio)", r"\b(tokio\w*|mio|futures\w*|parking_lot\w*)::"),
    ("logs (tracing)", r"\btracing"),
    ("C library", r"^(__)?mem|libc|^__|pthread|^syscall|^(write|read|send|recv|epoll)"),
]
COLOURS = {
    "kernel": "#d0c4de",
    "feishu-id": "#f2a65a",
    "allocator (mimalloc)": "#e8d07a",
    "protobuf (prost)": "#9ccfb0",
    "HTTP/2 (h2, hyper, http)": "#8fb8de",
    "gRPC (tonic, tower)": "#a5cbe8",
    "cache (quick_cache)": "#f4c08a",
    "runtime (tokio, mio)": "#cfd8dc",
    "logs (tracing)": "#e3a6a6",
    "C library": "#dddddd",
}
OTHER = "the rest"


def main(path, out, title):
    stacks = collections.Counter(read(path))
    total = sum(stacks.values())
    if not total:
        sys.exit("flame.py: no samples: may perf record here?")
    table(stacks, total)
    with open(out, "w") as file:
        file.write(draw(tree(stacks), total, title))


def read(path):
    """Stacks, outermost function first; samples are parted by empty lines."""
    stack = []
    with open(path, errors="replace") as file:
        for line in file:
            frame = re.match(r"\s+[0-9a-f]+ (.*) \((.*)\)$", line)
            if frame:
                stack.append(name(*frame.groups()))
            elif not line.strip() and stack:
                yield tuple(reversed(stack[:DEEPEST]))
                stack = []
    if stack:
        yield tuple(reversed(stack[:DEEPEST]))


def name(symbol, file):
    kernel = "kernel" in file or file.endswith(".ko") or "vmlinux" in file
    symbol = re.sub(r"(::h[0-9a-f]{16})?(\+0x[0-9a-f]+)?$", "", symbol)
    for code, text in [("..", "::"), ("$LT$", "<"), ("$GT$", ">"), ("$RF$", "&"), ("$u20$", " "), ("$C$", ","), ("$u7b$", "{"), ("$u7d$", "}"), ("$LP$", "("), ("$RP$", ")"), ("$u5b$", "["), ("$u5d$", "]"), ("$BP$", "*")]:
        symbol = symbol.replace(code, text)
    if symbol.startswith("_<"):
        symbol = symbol[1:]
    if symbol == "[unknown]":
        symbol = f"[{file.rsplit('/', 1)[-1]}]"
    return f"[k] {symbol}" if kernel else symbol


def part(function):
    for label, pattern in PARTS:
        if re.search(pattern, function):
            return label
    return OTHER


def whose(stack):
    """The part of the last function; the kernel's work is told apart by the call that it is for."""
    label = part(stack[-1])
    if label != "kernel":
        return label
    # The compiler leaves the outermost function of some out.
    calls = (re.search(r"^\[k\] (?:__x64_sys_|__sys_|do_(?=writev|readv|epoll_wait))(\w+)", function) for function in stack)
    called = next((call.group(1) for call in calls if call), None)
    return f"kernel, for `{called}`" if called else "kernel, interrupts and the like"


def table(stacks, total):
    parts, functions = collections.Counter(), collections.defaultdict(collections.Counter)
    for stack, count in stacks.items():
        label = whose(stack)
        parts[label] += count
        functions[label][plain(stack[-1])] += count
    print("| whose code | share | most of it in |")
    print("| --- | --- | --- |")
    # What is hardly there would be a line that says nothing.
    for label in [label for label, count in parts.items() if count < total / 200 and label != OTHER]:
        parts[OTHER] += parts.pop(label)
        functions[OTHER] += functions[label]
    for label, count in parts.most_common():
        most = [f"`{function}` {n / total:.1%}" for function, n in functions[label].most_common(3)]
        print(f"| {label} | {count / total:.1%} | {', '.join(most)} |")
    print(f"\n{total:,} samples.")


def plain(function):
    """Without generics and the path's beginning: what is left is what one looks for in the source."""
    # `<Type as Trait>::method` and `<Type>::method` are the type's.
    method = re.match(r"<(.*) as .*>::(\w+)$", function) or re.match(r"<([^ ]*)>::(.*)$", function)
    if method:
        function = "::".join(method.groups())
    while re.search(r"<[^<>]*>", function):
        function = re.sub(r"<[^<>]*>", "", function)
    function = re.sub(r"[&<>]|\bmut |\bdyn ", "", function).strip(":").replace("|", "/")
    return "::".join(function.split("::")[-3:])[-60:] or "?"


def tree(stacks):
    root = [0, {}]
    for stack, count in stacks.items():
        node = root
        node[0] += count
        for function in stack:
            node = node[1].setdefault(function, [0, {}])
            node[0] += count
    return root


def draw(root, total, title):
    boxes, deepest = [], 0
    scale = WIDTH / total

    def lay(node, function, left, depth):
        nonlocal deepest
        if node[0] * scale < NARROWEST:
            return
        deepest = max(deepest, depth)
        boxes.append((left, depth, node[0], function))
        for child, inside in sorted(node[1].items()):
            lay(inside, child, left, depth + 1)
            left += inside[0]

    lay(root, "all", 0, 0)
    height = (deepest + 1) * ROW + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="{FONT}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/><text x="6" y="20" font-size="15">{html.escape(title)}</text>',
    ]
    for left, depth, count, function in boxes:
        x, width, y = left * scale, count * scale, height - (depth + 1) * ROW
        # The classes would be longer than the colours.
        colour = COLOURS.get(part(function), "#eeeeee")
        short = html.escape(fitting(function, width))
        label = f'<text x="{x + 2:.1f}" y="{y + 12}">{short}</text>' if short else ""
        lines.append(
            f'<g><title>{html.escape(function[:160])} {count / total:.1%}</title>'
            f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.3, 0.3):.1f}" height="15" fill="{colour}"/>{label}</g>'
        )
    return "\n".join(lines) + "\n</svg>\n"


def fitting(function, width):
    """As much of the name's end as the box takes: the end says most."""
    room = int(width / (FONT * 0.56))
    if room < 4:
        return ""
    short = plain(function)
    return short if len(short) <= room else ".." + short[-(room - 2):]


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    main(*sys.argv[1:])
