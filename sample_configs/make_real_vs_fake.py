"""Make the images of real_vs_fake: photographs of invented scenes, and forgeries of such photographs.

A scene is light: a background and shaded, textured things that throw shadows. A camera turns it into a photograph:
lens, sensor noise, colour mosaic, white balance, tone curve, JPEG. The content of a forged part does not give it away.
The history of its pixels does: it has another camera's noise and JPEG compression, or none.

Everything is NumPy, except JPEG, which is TensorFlow's. Images are float32 from 0 to 1, `(count, size, size, 3)`,
unless a docstring says otherwise. To look at some: `python make_real_vs_fake.py DIRECTORY`.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

SIZE = 64
"""Pixels of a side of the images in the files."""

CHUNK = 50
"""Images made together from one random generator, so the images do not depend on the number of cores."""


@dataclass(frozen=True)
class Camera:
    """The changes to the light of a scene on its way to a file. Ranges are (lowest, highest)."""

    size: int
    """Pixels of a side, before the photograph is resized."""
    blur: tuple[float, float]
    """Standard deviation of the lens' blur, in pixels."""
    shot_noise: tuple[float, float]
    """Variance of the noise over brightness."""
    read_noise: float
    """Standard deviation of the noise that appears even in the dark."""
    white_balance: tuple[float, float, float]
    """Factors of red, green and blue."""
    gamma: float
    """Brightness of a pixel is light to the power of 1 / gamma."""
    quality: tuple[int, int]
    """JPEG quality of the camera's files, 1 to 100."""


@dataclass(frozen=True)
class Source:
    """A collection of images: one camera, and one JPEG compression before publication."""

    camera: Camera
    quality: tuple[int, int]
    """JPEG quality of the published files."""


SOURCES = {
    # A camera's own files, hardly touched.
    "a": Source(Camera(64, (0.4, 0.7), (0.0006, 0.002), 0.004, (1.0, 1.0, 1.0), 2.2, (94, 98)), (90, 96)),
    # Telephones' pictures from a web site: warm, brightened, made smaller, and compressed a second time.
    "b": Source(Camera(80, (0.5, 0.9), (0.0015, 0.004), 0.006, (1.15, 1.0, 0.8), 2.7, (85, 92)), (75, 88)),
}

NOISE_OF_SPLICED = (0.05, 0.1, 2.5, 4.0)
"""Variance of the noise in a spliced part, over that of the photograph around it."""

QUALITY_OF_SPLICED = (60, 85)
"""JPEG quality of the photograph from which a spliced part was cut."""

CHEQUERBOARD_OF_GENERATED = (0.01, 0.04)
"""Strength of the chequerboard in a generated part, as a share of the brightness."""

RADIUS_OF_FORGED = (0.4, 1.0)
"""Radius of the forged part; 1 is half an image."""


def draw(generator: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """Return uniform random numbers, `(count, 1, 1)`, one for each image."""
    return generator.uniform(low, high, (count, 1, 1)).astype(np.float32)


def interpolation(size: int, cells: int) -> np.ndarray:
    """Return the matrix, `(size, cells + 1)`, that interpolates `size` values between `cells + 1` given ones."""
    position = np.linspace(0, cells, size)
    left = np.minimum(position.astype(int), cells - 1)
    weight = position - left
    weight = weight * weight * (3 - 2 * weight)  # without it, the lattice shows as creases
    matrix = np.zeros((size, cells + 1), np.float32)
    matrix[np.arange(size), left] = 1 - weight
    matrix[np.arange(size), left + 1] = weight
    return matrix


def texture(generator: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Return cloudy or grainy surfaces, `(count, size, size)`, about -1 to 1: a sum of noise of several scales."""
    total, persistence = np.zeros((count, size, size), np.float32), draw(generator, count, 0.35, 0.95)
    for octave, cells in enumerate((2, 4, 8, 16, 32)):
        lattice = generator.standard_normal((count, cells + 1, cells + 1), dtype=np.float32)
        matrix = interpolation(size, cells)
        total += persistence**octave * (matrix @ lattice @ matrix.T)
    return total / np.sqrt((1 - persistence**10) / (1 - persistence**2)) / 2


def colour(generator: np.random.Generator, count: int) -> np.ndarray:
    """Return natural colours of little saturation, in linear light, `(count, 1, 1, 3)`."""
    grey = 2.0 ** generator.uniform(-4, -0.3, (count, 1, 1, 1))
    hue = generator.normal(0, 1, (count, 1, 1, 3)) * (0.3, 0.12, 0.35)
    return (grey * np.exp(hue)).astype(np.float32)


def superellipse(x: np.ndarray, y: np.ndarray, shape: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the distance of each pixel from the centre of a thing, `(count, size, size)`, below 1 inside of it.

    Args:
        x: Positions to the right of the centre, `(count, size, size)`.
        y: Positions below the centre, `(count, size, size)`.
        shape: Half width, half height, angle and power, each `(count, 1, 1)`. A power of 2 gives an ellipse, a larger
            one nearly a box.
    """
    width, height, angle, power = shape
    along = (np.cos(angle) * x + np.sin(angle) * y) / width
    across = (np.cos(angle) * y - np.sin(angle) * x) / height
    return (np.abs(along) ** power + np.abs(across) ** power) ** (1 / power)


def random_shape(generator: np.random.Generator, count: int, low: float, high: float) -> tuple[np.ndarray, ...]:
    """Return a random `shape` for `superellipse`, with a radius between `low` and `high`."""
    radius, stretch = draw(generator, count, low, high), 2 ** draw(generator, count, -0.8, 0.8)
    power = np.where(draw(generator, count, 0, 1) < 0.5, np.float32(2), np.float32(7))
    return radius * stretch, radius / stretch, draw(generator, count, 0, np.pi), power


def pixels(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the pixels, `(size, size)` each, from -1 to 1."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    return np.broadcast_to(line, (size, size)), np.broadcast_to(line[:, None], (size, size))


def blend(under: np.ndarray, over: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Paint `over` on `under` where `mask`, `(count, size, size)`, is 1."""
    return under + mask[..., None] * (over - under)


def scenes(generator: np.random.Generator, count: int, size: int, things: int = 7) -> np.ndarray:
    """Return the light of scenes: sky and ground, or a wall, and `things` in front, lit from one side."""
    x, y = pixels(size)
    sun = draw(generator, count, 0, 2 * np.pi)
    softness = draw(generator, count, 0.02, 0.06)  # of edges: things out of focus

    def surface() -> np.ndarray:
        contrast = draw(generator, count, 0.05, 0.6)
        return colour(generator, count) * np.exp(contrast * texture(generator, count, size))[..., None]

    horizon = draw(generator, count, -0.6, 1.5) + draw(generator, count, -0.3, 0.3) * x
    fade = np.exp(draw(generator, count, -0.8, 0.8) * y)[..., None]
    light = blend(surface() * fade, surface() / fade, np.clip((y - horizon) / softness, 0, 1))
    for number in range(things):
        smaller = 1 - number / things / 2
        shape = random_shape(generator, count, 0.1 * smaller, 0.6 * smaller)
        right, down = x - draw(generator, count, -1, 1), y - draw(generator, count, -0.8, 1)
        shadow = superellipse(right + 0.12 * np.cos(sun), down + 0.12 * np.sin(sun), shape)
        light *= (1 - 0.6 * np.clip((1.15 - shadow) / 0.3, 0, 1))[..., None]
        out = superellipse(right, down, shape)
        facing = (np.cos(sun) * right + np.sin(sun) * down) / np.sqrt(shape[0] * shape[1])
        shading = 0.65 + 0.35 * np.tanh(1.5 * facing) + 0.1 * np.sqrt(np.clip(1 - out, 0, 1))
        edge = np.clip((1 - out) * np.sqrt(shape[0] * shape[1]) / softness, 0, 1)
        light = blend(light, surface() * shading[..., None], edge)
    vignette = 1 - 0.15 * (x * x + y * y)
    return np.clip(light * vignette[..., None], 0, 1)


def through_rows_and_columns(matrix: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Apply a matrix, `(size, size of images)` or one for each image, to the columns and then to the rows."""
    planes = np.moveaxis(images, -1, 0)
    return np.ascontiguousarray(np.moveaxis(matrix @ planes @ np.swapaxes(matrix, -1, -2), 0, -1))


def blurred(images: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return images after a Gaussian blur; `deviation` in pixels, `(count, 1, 1)`."""
    place = np.arange(images.shape[1], dtype=np.float32)
    matrix = np.exp(-0.5 * ((place[:, None] - place) / deviation) ** 2)
    return through_rows_and_columns(matrix / matrix.sum(axis=-1, keepdims=True), images)


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Return images in another size; each pixel is a mean with triangular weights around its position."""
    before = images.shape[1]
    if before == size:
        return images
    place = (np.arange(size) + 0.5) * before / size - 0.5
    reach = max(1.0, before / size)
    matrix = np.clip(1 - np.abs(place[:, None] - np.arange(before)) / reach, 0, None)
    return through_rows_and_columns((matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32), images)


def demosaicked(images: np.ndarray) -> np.ndarray:
    """Return images as of a sensor with one colour a pixel, in Bayer's pattern, and the others interpolated.

    The interpolation spreads noise over neighbours. Forensics look for this trace of the camera
    (Popescu and Farid, Exposing digital forgeries in color filter array interpolated images, 2005).
    """
    row, column = np.indices(images.shape[1:3]) % 2
    patterns = np.stack([(row == 0) & (column == 0), row != column, (row == 1) & (column == 1)], axis=-1)

    def spread(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)))
        columns = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
        return columns[:, :-2] + 2 * columns[:, 1:-1] + columns[:, 2:]

    weights = patterns[None].astype(np.float32)
    return np.where(patterns, images, spread(images * weights) / spread(weights))


def compressed(images: np.ndarray, quality: np.ndarray) -> list[bytes]:
    """Return the JPEG files of images; `quality` from 1 to 100, `(count,)`."""
    pairs = zip(as_bytes(images), quality.tolist(), strict=True)
    return [tf.io.encode_jpeg(image, quality=one).numpy() for image, one in pairs]


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Return images as uint8, 0 to 255."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def decompressed(files: list[bytes]) -> np.ndarray:
    """Return the images in JPEG files, which all have one size."""
    return np.stack([tf.io.decode_jpeg(file, channels=3).numpy() for file in files]).astype(np.float32) / 255


def draw_quality(generator: np.random.Generator, count: int, between: tuple[int, int]) -> np.ndarray:
    """Return random JPEG qualities, `(count,)`."""
    return generator.integers(between[0], between[1] + 1, count)


def photographs(generator: np.random.Generator, count: int, camera: Camera) -> np.ndarray:
    """Return a camera's photographs of random scenes, in the size of the files."""
    light = blurred(scenes(generator, count, camera.size), draw(generator, count, *camera.blur))
    shot = draw(generator, count, *camera.shot_noise)[..., None]
    noise = generator.standard_normal(light.shape, dtype=np.float32)
    light = demosaicked(light + noise * np.sqrt(shot * light + camera.read_noise**2))
    tones = np.clip(light * np.float32(camera.white_balance), 0, 1) ** np.float32(1 / camera.gamma)
    return resized(decompressed(compressed(tones, draw_quality(generator, count, camera.quality))), SIZE)


def synthetic(generator: np.random.Generator, count: int) -> np.ndarray:
    """Return images as of a generative network: scenes without noise, drawn small, enlarged with a faint chequerboard.

    The chequerboard is that of a transposed convolution whose kernel its stride does not divide
    (Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts, Distill 2016).
    """
    small = scenes(generator, count, SIZE // 2) ** np.float32(1 / 2.2)
    row, column = np.indices((SIZE, SIZE))
    strength = draw(generator, count, *CHEQUERBOARD_OF_GENERATED)
    board = 1 + strength * ((-1.0) ** row + (-1.0) ** column).astype(np.float32)
    return np.clip(resized(small, SIZE) * board[..., None], 0, 1)


def forged(generator: np.random.Generator, count: int, source: Source) -> np.ndarray:
    """Return photographs of `source` with a foreign part: half of the parts are spliced, half are generated."""
    images = photographs(generator, count, source.camera)
    ratio = generator.choice(NOISE_OF_SPLICED)
    other = replace(
        source.camera,
        size=int(SIZE * generator.choice([0.75, 1.0, 1.5])),
        shot_noise=tuple(value * ratio for value in source.camera.shot_noise),
        quality=QUALITY_OF_SPLICED,
    )
    half = (count + 1) // 2
    parts = np.concatenate([photographs(generator, half, other), synthetic(generator, count - half)])
    # The forger mostly matches the brightness and the colours around the part.
    match = draw(generator, count, 0.3, 1)[..., None]
    parts = parts + match * (images.mean(axis=(1, 2), keepdims=True) - parts.mean(axis=(1, 2), keepdims=True))
    x, y = pixels(SIZE)
    shape = random_shape(generator, count, *RADIUS_OF_FORGED)
    out = superellipse(x - draw(generator, count, -0.6, 0.6), y - draw(generator, count, -0.6, 0.6), shape)
    feather = draw(generator, count, 0.04, 0.2)
    return blend(images, parts, np.clip((1 - out) / feather, 0, 1))


def make_chunk(folder: Path, seed: tuple[int, ...], source: Source, kind: str, first: int, count: int) -> int:
    """Write `count` JPEG files to `folder`, numbered from `first`; return their number."""
    generator = np.random.default_rng(seed)
    images = forged(generator, count, source) if kind == "fake" else photographs(generator, count, source.camera)
    files = compressed(images, draw_quality(generator, count, source.quality))
    for number, file in enumerate(files, start=first):
        (folder / f"{number:05}.jpg").write_bytes(file)
    return count


def make_images(directory: Path, *, images: int = 8000, seed: int = 2) -> None:
    """Fill `directory` with `a/train/real/00000.jpg`, …, `b/validation/fake/…`; print progress now and then.

    The same arguments give the same bytes, at least on one machine.

    Args:
        directory: the directory; created.
        images: number of all images, a multiple of 20: half of them real, half from each source, one in five for
            validation.
        seed: of the random generators.
    """
    if images < 20 or images % 20:
        raise ValueError(f"images must be a multiple of 20, not {images}")
    chunks = []
    for source_number, (name, source) in enumerate(SOURCES.items()):
        for kind_number, kind in enumerate(("real", "fake")):
            for split_number, (split, share) in enumerate((("train", 4), ("validation", 1))):
                folder, count = directory / name / split / kind, images * share // 20
                folder.mkdir(parents=True)
                for first in range(0, count, CHUNK):
                    numbers = (seed, source_number, kind_number, split_number, first)
                    chunks.append((folder, numbers, source, kind, first, min(CHUNK, count - first)))
    begin = told = time.monotonic()
    made = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = [pool.submit(make_chunk, *chunk) for chunk in chunks]
        try:
            for task in as_completed(tasks):
                made += task.result()
                now = time.monotonic()
                if now - told >= 2 or made == images:
                    print(f"making images: {made:,}/{images:,}, {now - begin:.0f} s", flush=True)
                    told = now
        except BaseException:
            pool.shutdown(cancel_futures=True)  # otherwise an interrupt would wait for all chunks
            raise


if __name__ == "__main__":
    make_images(Path(sys.argv[1]))
