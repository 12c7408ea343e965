"""Plans, reports and stores as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from xprep.dims.channel_titles import channel_titles
from xprep.sizes import format_bytes
from xprep.texts import make_safe, make_safe_lines

if TYPE_CHECKING:
    from xprep.images import ArrayInfo, Report, StoreInfo
    from xprep.ops import Plan

MANY = 20  # rows of a list that is cut
SHOWN = 4  # names in a cell


class SafeConsole(Console):
    """A console that prints texts of stores, paths and errors without what a terminal would take for commands."""

    def print(self, *objects: Any, **how: Any) -> None:
        """Print ``objects``, texts made safe."""
        super().print(*map(_safe, objects), **how)


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return make_safe_lines(value)
    if isinstance(value, Text) and (plain := make_safe_lines(value.plain)) != value.plain:
        return Text(plain, style=value.style)
    return value


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that neither guesses markup nor colours numbers; a pipe gets lines as long as they are."""
    console = SafeConsole(stderr=stderr, highlight=False, markup=False)
    return console if console.is_terminal else SafeConsole(stderr=stderr, highlight=False, markup=False, width=240)


def print_plan(console: Console, plan: Plan, outputs: Sequence[str]) -> None:
    """Print what would run."""
    _print_rows(console, plan.rows())
    for url in outputs:
        console.print(f"would write {url}", soft_wrap=True)


def print_batch_plan(console: Console, moves: Sequence[tuple[str, str]], plan: Plan) -> None:
    """Print what one run of a batch would do: from where to where, image by image, and what it costs together."""
    _print_moves(console, moves)
    count = sum(not one.maybe for one in plan.passes)
    passes = f"{count} pass{'es' * (count != 1)}"
    console.print(
        f"    reads {format_bytes(plan.bytes_read)} in {passes}, makes {format_bytes(plan.bytes_made)} "
        f"in {plan.chunks:,} blocks, {plan.tasks:,} tasks; peak memory about {format_bytes(plan.peak_memory)}"
        + (f"; {format_bytes(plan.scratch_bytes)} to scratch" if plan.scratch_bytes else ""),
        style="dim",
        soft_wrap=True,
    )


def print_batch_failure(console: Console, moves: Sequence[tuple[str, str]], why: str) -> None:
    """Print that a run of a batch cannot be planned."""
    _print_moves(console, moves)
    console.print(Text(f"    would fail: {why}", style="red"), soft_wrap=True)


def print_batch_total(console: Console, images: int, plans: Sequence[Plan], failing: int) -> None:
    """Print what a whole batch would do."""
    count = len(plans) + failing
    runs = f"{count} run{'s' * (count != 1)}" + (f", {failing} would fail" if failing else "")
    console.print(
        f"{images} images in {runs}: {format_bytes(sum(plan.bytes_read for plan in plans))} to read, "
        f"{format_bytes(sum(plan.bytes_made for plan in plans))} to make (uncompressed, without pyramids); peak memory about "
        f"{format_bytes(max((plan.peak_memory for plan in plans), default=0))}",
        soft_wrap=True,
    )


def _print_moves(console: Console, moves: Sequence[tuple[str, str]]) -> None:
    for source, output in moves:
        console.print(Text.assemble((make_safe(source), "bold"), " → ", make_safe(output)), soft_wrap=True)


def print_reports(console: Console, reports: Iterable[Report], bytes_read: int) -> None:
    """Print what was written and how it went."""
    found = list(reports)
    for report in found:
        console.print(f"wrote {report.url}", soft_wrap=True)
        console.print(f"      {' → '.join(map(_sizes, report.shapes))}, {report.codec}", style="dim", soft_wrap=True)
    last = found[-1]
    kept = sum(report.nbytes_before for report in found)
    before = f", besides {format_bytes(kept)} that were there," if kept else ""
    console.print(
        f"read {format_bytes(bytes_read)}, wrote {format_bytes(sum(report.nbytes for report in found))} (uncompressed){before} "
        f"in {last.seconds:.1f} s; peak memory {format_bytes(last.peak_memory)}",
        soft_wrap=True,
    )
    for note in dict.fromkeys(note for report in found for note in report.notes):
        console.print(f"note: {note}", style="yellow", soft_wrap=True)


def print_store(console: Console, info: StoreInfo) -> None:
    """Print what is in a store."""
    rows = [("store", info.url), ("kind", info.kind), ("status", info.status)]
    if info.name:
        rows.append(("image", info.name))
    if info.labels:
        rows.append(("labels", ", ".join(info.labels)))
    if info.systems:
        marked = (f"{name} (shown)" if name == info.system else name for name in info.systems)
        rows.append(("coordinate systems", ", ".join(marked)))
    if info.unsaid:
        rows.append(("not shown", info.unsaid))
    if info.missing:
        rows.append(("not there", ", ".join(info.missing[:MANY]) + (", …" if len(info.missing) > MANY else "")))
    if info.arrays:
        rows.append(("stored as", "; ".join(dict.fromkeys(array.codec for array in info.arrays))))
    _print_rows(console, rows)
    if info.images:
        _print_images(console, info)
    if info.arrays:
        _print_table(console, _arrays(info))
    if info.channels:
        _print_table(console, _channels(info))


def _print_images(console: Console, info: StoreInfo) -> None:
    paths = [entry.path for entry in info.images]
    shown = "  ".join(paths[:MANY]) + (f"  … ({len(paths)} in all)" if len(paths) > MANY else "")
    console.print(f"images  {make_safe(shown)}", soft_wrap=True)
    if info.others:
        console.print(f"others  {make_safe('  '.join(info.others))}", soft_wrap=True)
    _print_table(console, _members(info))
    console.print()
    first = next(path for path in paths if path not in info.missing)
    console.print(f"the first, {first}:", style="dim")


def _members(info: StoreInfo) -> list[list[str | Text]]:
    """Return the images of a plate or an object as rows; a column that is empty for all is left out."""
    table: list[list[str]] = [["image", "shape", "type", "levels", "channels", "labels", "coordinate systems", ""]]
    for one in info.members:
        shape = f"{','.join(one.dims)} {_sizes(one.shape)}" if one.dims else "-"
        names = [", ".join(some[:SHOWN]) + ", …" * (len(some) > SHOWN) for some in (one.channels, one.labels, one.systems)]
        table.append([one.path, shape, one.dtype, str(one.levels or "-"), *names, one.about])
    kept = [n for n in range(len(table[0])) if any(row[n] for row in table[1:])]
    return [[row[n] for n in kept] for row in table]


def _print_rows(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Print pairs of text, aligned; not a table, which pads lines and folds long URLs."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        console.print(Text.assemble((f"{name:{width}}", "bold"), "  ", make_safe(value)), soft_wrap=True)


def _print_table(console: Console, rows: Sequence[Sequence[str | Text]]) -> None:
    """Print rows below their header, aligned; not a table of rich, which cuts words where a terminal is narrow."""
    texts = [[cell if isinstance(cell, Text) else Text(make_safe(cell)) for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*texts, strict=True)]
    console.print()
    for n, row in enumerate(texts):
        for cell, width in zip(row[:-1], widths, strict=False):
            cell.pad_right(width + 2 - cell.cell_len)
        console.print(Text.assemble(*row, style="" if n else "bold"), soft_wrap=True)


def _arrays(info: StoreInfo) -> list[list[str | Text]]:
    dims = ",".join(info.arrays[0].dims)
    pyramid = bool(info.arrays[0].spacing)
    table: list[list[str | Text]] = [
        ["level" if pyramid else "array", dims or "shape", "type", "chunks", "shards", "size", "pixel"]
    ]
    for n, array in enumerate(info.arrays):
        table.append(
            [
                f"{n}  {array.path}" if pyramid else array.path or ".",
                _sizes(array.shape),
                array.dtype,
                _sizes(array.chunks),
                _sizes(array.shards) if array.shards else "-",
                format_bytes(array.nbytes),
                _pixel(array, info.units),
            ]
        )
    return table


def _sizes(lengths: Sequence[int]) -> str:
    return "×".join(map(str, lengths))


def _pixel(array: ArrayInfo, units: dict[str, str]) -> str:
    """Return the distance of pixels in space, with its unit where there is one."""
    found = {dim: step for dim, step in zip(array.dims, array.spacing, strict=False) if dim in ("z", "y", "x")}
    if not found:
        return "-"
    unit = next((units[dim] for dim in found if dim in units), "pixel")
    return f"{' × '.join(f'{step:.4g}' for step in found.values())} {unit}"


def _channels(info: StoreInfo) -> list[list[str | Text]]:
    table: list[list[str | Text]] = [["channel", "colour", "shown", "range"]]
    titles = channel_titles([channel.label for channel in info.channels])
    for channel, title in zip(info.channels, titles, strict=True):
        window = channel.window
        swatch = Text.assemble(("██ ", f"#{channel.color}" if _is_color(channel.color) else ""), channel.color)
        shown, span = ("-", "-") if window is None else (_span(window.start, window.end), _span(window.min, window.max))
        table.append([title, swatch, shown, span])
    return table


def _is_color(text: str) -> bool:
    return len(text) == 6 and all(letter in "0123456789abcdefABCDEF" for letter in text)


def _span(low: float, high: float) -> str:
    return f"{low:.4g} – {high:.4g}"
