"""The themes: calm colours, dark and light, and one of high contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from textual.theme import Theme

if TYPE_CHECKING:
    from textual.color import Color


def _bars(*bits: str, output: str, projector: str, text: str, free: str) -> dict[str, str]:
    """Colours of bars: of weights of 2, 4, 6, 8, 16 and 32 ``bits``, and of the parts of memory.

    Bits go from warm (few) to cool (many), so that a look at a bar tells how coarse its weights
    are; letters in the bars say the same without colour.
    """
    two, four, six, eight, sixteen, more = bits
    return {
        "bits-2": two,
        "bits-4": four,
        "bits-6": six,
        "bits-8": eight,
        "bits-16": sixteen,
        "bits-32": more,
        "part-weights": sixteen,
        "part-kv": eight,
        "part-compute": four,
        "part-output": output,
        "part-projector": projector,
        "part-driver": two,
        "bar-text": text,
        "bar-free": free,
    }


def _theme(
    name: str, bars: dict[str, str], cursor: tuple[str, str, str], accent: str, **more: Any
) -> Theme:
    """``cursor`` has the background, foreground and style of the line under it."""
    parts = zip(("background", "foreground", "text-style"), cursor, strict=True)
    cursors = {f"block-cursor-{part}": value for part, value in parts}
    variables = {**bars, "footer-key-foreground": accent, **cursors}
    return Theme(f"gemmahub-{name}", accent=accent, variables=variables, **more)


BAR_DEFAULTS: Final = _bars(
    *("#c07a7a", "#c9a66b", "#a9b36f", "#7fae8a", "#7297c4", "#9a8bbf"),
    output="#b48bb5",
    projector="#6fb0b3",
    text="#14171c",
    free="#3a404b",
)
"""What a theme of Textual's own uses, which knows nothing of our bars."""

THEMES: Final = (
    _theme(
        "dark",
        BAR_DEFAULTS,
        ("#33455c", "#ffffff", "none"),
        accent="#d3b077",
        primary="#86a9d4",
        secondary="#7fae8a",
        warning="#d8ad5f",
        error="#d77c7c",
        success="#86bb90",
        foreground="#d5d9e0",
        background="#15181d",
        surface="#1a1e24",
        panel="#232830",
        dark=True,
    ),
    _theme(
        "light",
        _bars(
            *("#d9908c", "#dcb673", "#bcc47c", "#8fc29b", "#8db0dc", "#b3a4d8"),
            output="#cda5ce",
            projector="#84c4c7",
            text="#1c2026",
            free="#c3c8d0",
        )
        | {"foreground-muted": "#5a606a"},
        ("#cfdcec", "#101418", "none"),
        accent="#8a5a00",
        primary="#2f5f96",
        secondary="#3c7a4c",
        warning="#8a5a00",
        error="#b03535",
        success="#2c7340",
        foreground="#22262d",
        background="#f7f7f4",
        surface="#efefeb",
        panel="#e4e5e0",
        dark=False,
    ),
    _theme(
        "contrast",
        _bars(
            *("#ff6b6b", "#ffd166", "#d4e157", "#69f0ae", "#64b5ff", "#d0a8ff"),
            output="#ff9ee7",
            projector="#5ff2f7",
            text="#000000",
            free="#ffffff",
        ),
        ("#ffe066", "#000000", "bold"),
        accent="#ffe066",
        primary="#7cc4ff",
        secondary="#69f0ae",
        warning="#ffe066",
        error="#ff8080",
        success="#69f0ae",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        dark=True,
        text_alpha=1.0,
    ),
)
LEAST_CONTRAST: Final = 4.5
"""What text needs against what is behind it (WCAG 2.2, success criterion 1.4.3)."""


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of two opaque colours, 1 to 21, as WCAG 2.2 defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in color.normalized
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


DEFAULT: Final = THEMES[0].name
