"""Small pictures with labels that show, for tests that need no faces."""

import csv
import io

import numpy as np
from PIL import Image

LABELS = ("Bright", "Red", "Striped", "Framed")


def picture(row, seed=0):
    """A picture that has the labels of `row` (−1/+1 each), uint8 [24, 24, 3], and they."""
    rng = np.random.default_rng([seed, row])
    labels = tuple(int(value) for value in rng.choice([-1, 1], len(LABELS)))
    bright, red, striped, framed = labels
    pixels = np.full((24, 24, 3), 170 if bright > 0 else 70, np.float64)
    pixels[..., 0] += 60 if red > 0 else -40
    if striped > 0:
        pixels[::4] -= 60
    if framed > 0:
        pixels[:3] = pixels[-3:] = pixels[:, :3] = pixels[:, -3:] = 0
    pixels += rng.normal(0, 8, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


def name(row):
    return f"{row:04d}.png"


def write_pictures(folder, count, *, first=0, seed=0, unlabelled=()):
    """A folder of pictures with `labels.csv` of all that are in it; returns the table's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in range(first, first + count):
        Image.fromarray(picture(row, seed)[0]).save(folder / name(row))
    table = folder / "labels.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "partition", *LABELS])
        for path in sorted(folder.glob("[0-9]*.png")):
            row = int(path.stem)
            if row not in unlabelled:
                partition = ("train", "train", "train", "val", "test")[row % 5]
                writer.writerow([path.name, partition, *picture(row, seed)[1]])
    return table


def pixels_and_labels(count, *, size=(24, 24), seed=0):
    """The same as arrays: uint8 [N, H, W, 3] and int8 [N, L]."""
    made = [picture(row, seed) for row in range(count)]
    arrays = [np.asarray(Image.fromarray(pixels).resize(size[::-1])) for pixels, _ in made]
    return np.stack(arrays), np.array([labels for _, labels in made], np.int8)


def jpeg(colour="teal", size=(60, 80), form="JPEG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, form)
    return buffer.getvalue()


def read_png(path):
    """What a PNG shows, int [H, W, 3]."""
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def share(found, colour, within=30):
    """Which part of it has a colour, or nearly."""
    return float((np.abs(found - colour).sum(axis=2) < within).mean())
