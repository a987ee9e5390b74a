"""A file that is followed as it grows."""

from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.following import follow
from dtfl_app.detection.once import score_file

__all__ = ["OPTIONS", "append", "once", "run"]

# Every step is written, and drift is looked for in so few steps that there is some.
OPTIONS = DetectionOptions(every_step=True, drift_window=10)


def run(bundle, following, options=OPTIONS) -> Detection:
    """Follow until nothing more is there."""
    return follow(bundle, options, following, lambda seconds: False)


def append(following, content: bytes):
    with following.data.open("ab") as file:
        file.write(content)


def once(bundle, following) -> str:
    """What one pass over the file gives."""
    _, found = score_file(bundle, OPTIONS, following.data)
    return "".join(f"{line}\n" for line in found)
