"""A picture of ranked lists: each row is a query with its nearest gallery images."""

from collections.abc import Sequence

import cv2
import numpy as np

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.viz import canvas

RIGHT: canvas.Color = (22, 145, 80)
WRONG: canvas.Color = (208, 44, 44)
QUERY: canvas.Color = (48, 48, 48)
PADDING: canvas.Color = (240, 240, 240)  # beside an image with another aspect ratio than its cell

MARGIN, GAP, BORDER = 36, 18, 8
CAPTION, HEADER, TITLE = 13, 17, 22  # text sizes
CAPTION_LINE = 25


def draw_ranked_list(
    queries: Sequence[np.ndarray],
    galleries: Sequence[Sequence[np.ndarray]],
    verdicts: Sequence[Sequence[bool]],
    *,
    query_captions: Sequence[str] | None = None,
    gallery_captions: Sequence[Sequence[str]] | None = None,
    title: str = "",
    height: int = 256,
) -> np.ndarray:
    """Return a picture of ranked lists, uint8 RGB: green borders for matches, red for errors.

    Args:
        queries: One image per row, uint8 RGB (H, W, 3) or gray such as infrared (H, W), of any
            size.
        galleries: For each query its gallery images, nearest first.
        verdicts: For each gallery image, whether it has the identity of the query.
        query_captions: Caption below each query. A line break starts a new line. Default: None.
        gallery_captions: Caption below each gallery image. Default: None.
        title: Title above the picture. Default: no title.
        height: Height of an image cell in pixels. Its width is half of that. Default: 256.

    Returns:
        The picture as an array.

    Raises:
        ArgumentError: If lists differ in length, or an image has an invalid shape or dtype.

    Examples:
        >>> import numpy as np
        >>> from reid_ext import viz
        >>> black, white = np.zeros((64, 32, 3), np.uint8), np.full((64, 32, 3), 255, np.uint8)
        >>> sheet = viz.draw_ranked_list([black], [[black, white]], [[True, False]], height=64)
        >>> sheet.dtype, sheet.shape[2]
        (dtype('uint8'), 3)
    """
    _check(queries, galleries, verdicts, query_captions, gallery_captions)
    captions = [list(c) for c in gallery_captions or []] or [[""] * len(g) for g in galleries]
    below_query = list(query_captions or [""] * len(queries))
    lines = max(len(c.splitlines()) for c in [*below_query, *(c for row in captions for c in row)])
    columns = max((len(g) for g in galleries), default=0)

    cell = height + 2 * BORDER + lines * CAPTION_LINE
    step = height // 2 + 2 * BORDER + GAP
    top = MARGIN + (TITLE + 30 if title else 0) + HEADER + 16
    image = canvas.blank(
        top + len(queries) * (cell + GAP) - GAP + MARGIN,
        2 * MARGIN + (columns + 1) * step + GAP,
    )
    x_of = [MARGIN, *(MARGIN + GAP + step * (i + 1) for i in range(columns))]
    title = canvas.shortened(title, TITLE, image.shape[1] - 2 * MARGIN, bold=True)
    canvas.put_text(image, title, (MARGIN, MARGIN + TITLE), TITLE, bold=True)
    for x, name in zip(x_of, ["query", *map(str, range(1, columns + 1))], strict=True):
        middle = x + BORDER + height / 4
        canvas.put_text(image, name, (middle, top - 16), HEADER, align=0.5, bold=True)
    for row in range(len(queries)):
        y = top + row * (cell + GAP)
        _draw_cell(image, queries[row], (x_of[0], y), height, QUERY, below_query[row])
        for x, one, right, words in zip(
            x_of[1:], galleries[row], verdicts[row], captions[row], strict=False
        ):
            color = RIGHT if right else WRONG
            _draw_cell(image, one, (x, y), height, color, words)
            _draw_badge(image, (x + height / 2 + BORDER, y + height + BORDER), bool(right))
    return image


def _check(
    queries: Sequence[np.ndarray],
    galleries: Sequence[Sequence[np.ndarray]],
    verdicts: Sequence[Sequence[bool]],
    query_captions: Sequence[str] | None,
    gallery_captions: Sequence[Sequence[str]] | None,
) -> None:
    where, rows = "draw_ranked_list", len(queries)
    if rows == 0:
        raise ArgumentError(where, "queries", "contain at least one image", "an empty list")
    for name, given in (
        ("galleries", galleries),
        ("verdicts", verdicts),
        ("query_captions", query_captions),
        ("gallery_captions", gallery_captions),
    ):
        if given is not None and len(given) != rows:
            requirement = f"have length {rows} like queries"
            raise ArgumentError(where, name, requirement, str(len(given)))
    for row in range(rows):
        canvas.read_image(where, f"queries[{row}]", queries[row])
        for i, image in enumerate(galleries[row]):
            canvas.read_image(where, f"galleries[{row}][{i}]", image)
        for name, lists in (("verdicts", verdicts), ("gallery_captions", gallery_captions)):
            if lists is not None and len(lists[row]) != len(galleries[row]):
                requirement = f"have length {len(galleries[row])} like galleries[{row}]"
                raise ArgumentError(where, f"{name}[{row}]", requirement, str(len(lists[row])))


def _draw_cell(
    sheet: np.ndarray,
    image: np.ndarray,
    at: tuple[int, int],
    height: int,
    color: canvas.Color,
    caption: str,
) -> None:
    (x, y), width = at, height // 2 + 2 * BORDER
    sheet[y : y + height + 2 * BORDER, x : x + width] = color
    inside = sheet[y + BORDER : y + BORDER + height, x + BORDER : x + BORDER + height // 2]
    inside[:] = _letterboxed(image, height)
    for i, line in enumerate(caption.splitlines()):
        base = y + height + 2 * BORDER + (i + 1) * CAPTION_LINE
        line = canvas.shortened(line, CAPTION, width)
        canvas.put_text(sheet, line, (x + width / 2, base), CAPTION, align=0.5)


def _letterboxed(image: np.ndarray, height: int) -> np.ndarray:
    """Return the image as RGB in a cell (height, height // 2), whole, centred and undistorted."""
    rgb = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image
    scale = min(height / rgb.shape[0], height // 2 / rgb.shape[1])
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    cell = np.full((height, height // 2, 3), PADDING, np.uint8)
    top, left = (height - size[1]) // 2, (height // 2 - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = rgb
    return cell


def _draw_badge(sheet: np.ndarray, at: tuple[float, float], right: bool) -> None:
    """Draw a tick or a cross, so that colour is not the only difference."""
    x, y = at[0] - 12, at[1] - 12
    canvas.put_dot(sheet, (x, y), 16, RIGHT if right else WRONG)
    strokes = [[(-7, 0), (-2, 5), (7, -5)]] if right else [[(-5, -5), (5, 5)], [(-5, 5), (5, -5)]]
    for stroke in strokes:
        canvas.put_line(sheet, [(x + dx, y + dy) for dx, dy in stroke], canvas.WHITE, 3)
