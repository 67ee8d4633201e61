# SPDX-License-Identifier: Apache-2.0
"""Tables in pages that scripts make: what is between `<!-- NAME: begin -->` and
`<!-- NAME: end -->`."""
import difflib
import sys


class Missing(Exception):
    """What a table cannot be made without."""


def table(heads, rows):
    lines = [heads, tuple("-" * len(h) for h in heads), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def add_options(parser, page):
    parser.add_argument("--page", type=type(page), default=page)
    parser.add_argument("--check", action="store_true",
                        help=f"exits 1 if {page.name} has another one")
    parser.add_argument("--write", action="store_true",
                        help=f"puts it into {page.name}")


def split(text, name):
    """The page before, in and after the marks."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, mark, rest = text.partition(begin)
    inside, close, after = rest.partition(end)
    if not mark or not close:
        raise Missing(f"the page has no {begin.strip()} … {end}")
    return before + mark, inside, close + after


def serve(name, make, options):
    """Prints, checks or writes what make() makes; the exit status."""
    try:
        made = make()
        if not (options.check or options.write):
            sys.stdout.write(made)
            return 0
        before, inside, after = split(options.page.read_text(), name)
    except Missing as e:
        print(e, file=sys.stderr)
        return 1
    if options.write and inside != made:
        options.page.write_text(before + made + after)
    elif inside != made:
        sys.stderr.writelines(difflib.unified_diff(
            inside.splitlines(True), made.splitlines(True), options.page.name, "made"))
        return 1
    return 0
