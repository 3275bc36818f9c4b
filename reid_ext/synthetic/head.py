"""Draws the neck, scarf, head, face, hair and hat of a person on a canvas."""

from reid_ext.synthetic.canvas import Canvas, Limb
from reid_ext.synthetic.parts import Part
from reid_ext.synthetic.person import Person


def draw_hair_behind(canvas: Canvas, person: Person) -> None:
    """Draw long hair behind the shoulders."""
    if person.outfit.hair == "long" and canvas.cos > -0.2:
        fall = [
            *((0.93, 0.055, 0.055, -0.01), (0.80, 0.068, 0.05, -0.035)),
            (0.745, 0.06, 0.035, -0.045),
        ]
        canvas.band(fall, Part.HAIR, (110, 140))


def draw_head(canvas: Canvas, person: Person, shift: float) -> None:
    """Draw all parts above the collar; ``shift`` moves the head sideways, in body coordinates."""
    neck = Limb((0, 0.84, 0), (0, 0.90, 0.01), 0.03, 0.028, Part.SKIN)
    canvas.silhouette(neck, shade=128)  # without a light core: the chin shades the neck
    if person.outfit.scarf:
        scarf = [(0.865, 0.045, 0.045, 0.01), (0.82, 0.062, 0.06, 0.015)]
        canvas.band(scarf, Part.SCARF, (130, 165))
    centre, _ = canvas.project((shift, 0.925, 0.012))
    x, y = float(centre[0]), float(centre[1])
    size = person.shape.head * canvas.size
    _Head(canvas, person, x, y, 0.049 * size, 0.068 * size).draw()


class _Head:
    """The head as an ellipse with centre (x, y) and two radii, in pixels."""

    def __init__(
        self, canvas: Canvas, person: Person, x: float, y: float, width: float, height: float
    ):
        self.canvas, self.outfit = canvas, person.outfit
        self.x, self.y, self.width, self.height = x, y, width, height

    def draw(self) -> None:
        bald = self.outfit.hair == "bald"
        self._hair_beside()
        skull = Part.SKIN if bald else Part.HAIR
        self._oval((0, 0 if bald else -0.04), (1.06, 1.03), skull, 132)
        self._oval((-0.15, -0.2), (0.6, 0.6), skull, 168)
        if not bald and self.canvas.cos > -0.35:
            self._skin_of_face()
        if self.canvas.cos > -0.15:
            self._eyes_and_mouth()
        if self.outfit.hair == "long" and self.canvas.cos <= 0.2:
            fall = [
                *((0.955, 0.05, 0.055, -0.012), (0.86, 0.064, 0.045, -0.03)),
                (0.745, 0.06, 0.03, -0.05),
            ]
            self.canvas.band(fall, Part.HAIR, (110, 150))
        if self.outfit.hat != "none":
            self._hat()

    def _at(self, across: float, down: float) -> tuple[float, float]:
        """The pixel at an offset from the centre, given in head radii."""
        return self.x + across * self.width, self.y + down * self.height

    def _oval(
        self,
        offset: tuple[float, float],
        radii: tuple[float, float],
        label: int,
        shade: int,
        start: int = 0,
    ) -> None:
        pixels = (radii[0] * self.width, radii[1] * self.height)
        self.canvas.ellipse(self._at(*offset), pixels, label, shade, start)

    def _hair_beside(self) -> None:
        hair = self.outfit.hair
        if hair == "bob":
            self._oval((-0.1 * self.canvas.sin, 0.1), (1.25, 1.1), Part.HAIR, 120)
        elif hair == "bun":
            centre, _ = self.canvas.project((0, 0.985, -0.05))
            radius = 0.45 * self.width
            self.canvas.ellipse(centre, (radius, radius), Part.HAIR, 125)
        elif hair == "ponytail" and self.canvas.cos < 0.5:
            self.canvas.strap((0, 0.95, -0.06), (0, 0.80, -0.085), Part.HAIR, 120, 0.034)

    def _skin_of_face(self) -> None:
        """Draw a patch of skin that moves to the side and shrinks when the head turns away."""
        shown = max(0.25, (self.canvas.cos + 0.55) / 1.55)
        across = 0.42 * self.canvas.sin
        self._oval((across, 0.2), (0.35 + 0.5 * shown, 0.78), Part.SKIN, 140)
        self._oval((across - 0.1, 0.2), (0.2 + 0.35 * shown, 0.55), Part.SKIN, 175)

    def _eyes_and_mouth(self) -> None:
        canvas = self.canvas
        eyes, _ = canvas.project([(-0.018, 0.928, 0.05), (0.018, 0.928, 0.05)])
        for eye in eyes:
            if abs(eye[0] - self.x) < 0.95 * self.width:
                x, y = int(eye[0]), int(eye[1])
                canvas.box((x - 1, y), (x + 1, y + 1), Part.EYE, 128)
        mouth, _ = canvas.project((0, 0.893, 0.05))
        x, y = int(mouth[0]), int(mouth[1])
        canvas.line((x - 2, y), (x + 2, y), Part.SKIN, 95, 1)

    def _hat(self) -> None:
        canvas, turned = self.canvas, abs(self.canvas.cos)
        self._oval((0, -0.28), (1.12, 0.85), Part.HAT, 140, start=180)
        self._oval((-0.2, -0.35), (0.6, 0.55), Part.HAT, 176, start=180)
        if self.outfit.hat == "beanie":
            width = max(2, int(0.02 * canvas.size))
            ends = self._at(-1.05, -0.30), self._at(1.05, -0.30)
            canvas.line(*ends, Part.HAT_TRIM, 140, width)
        elif canvas.cos > -0.5:  # the peak of a cap
            tip, _ = canvas.project((0, 0.945, 0.085))
            start = self._at(0.3 * canvas.sin - 0.6 * turned, -0.28)
            end = (float(tip[0]) + 0.6 * turned * self.width, self._at(0, -0.24)[1])
            canvas.line(start, end, Part.HAT_TRIM, 120, max(2, int(0.018 * canvas.size)))
