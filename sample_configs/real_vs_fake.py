"""Real photographs against forged ones, by a small CNN: why does the validation loss spike now and then?

The question fixes the network, layer by layer, the learning rate, the batch size, the numbers of epochs and images, and
the two sources of images. Only the images themselves are made here, by make_real_vs_fake.py, as files in folders, which
Keras reads.

real_vs_fake.toml names the functions. Nothing here depends on the program that runs it.
"""

import os
import tempfile
from pathlib import Path

import keras
import tensorflow as tf
from make_real_vs_fake import SIZE, SOURCES, make_images

KINDS = ("real", "fake")
"""Folders of a source, in the order of the classes."""


def build_model(*, momentum: float = 0.99, data_format: str | None = None) -> keras.Model:
    """Return the CNN of the question, not compiled, with Keras' default initializers.

    A 1x1 convolution sees one pixel. So only the first layer and the two poolings see a pixel's neighbours, and noise
    with them.

    Args:
        momentum: of BatchNormalization.
        data_format: "channels_last", images `(batch, 64, 64, 3)`, or "channels_first", `(batch, 3, 64, 64)`, which is
            faster on some GPUs; Keras' default (`keras.config.image_data_format()`) unless given. `load_images` needs
            the same. On a CPU, TensorFlow convolves channels_first only with oneDNN (its default on x86-64) or XLA
            (`jit_compile`); otherwise the first step fails with "only supports the NHWC tensor format".
    """
    data_format = keras.config.image_data_format() if data_format is None else data_format
    channels = 1 if data_format == "channels_first" else -1  # BatchNormalization ignores the data format
    model = keras.Sequential(name="real_vs_fake")
    model.add(keras.Input((3, SIZE, SIZE) if channels == 1 else (SIZE, SIZE, 3), name="image"))
    number = 0
    for block, (filters, kernel_sizes) in enumerate([(16, (3, 1)), (32, (1, 1))], start=1):
        for kernel_size in kernel_sizes:
            number += 1
            model.add(keras.layers.Conv2D(filters, kernel_size, data_format=data_format, name=f"conv_{number}"))
            model.add(keras.layers.ReLU(name=f"relu_{number}"))
            model.add(keras.layers.BatchNormalization(axis=channels, momentum=momentum, name=f"bn_{number}"))
        model.add(keras.layers.MaxPooling2D(data_format=data_format, name=f"pool_{block}"))
        model.add(keras.layers.Dropout(0.25, name=f"dropout_{block}"))
    model.add(keras.layers.Flatten(data_format=data_format, name="flatten"))
    model.add(keras.layers.Dense(64, name="dense"))
    model.add(keras.layers.ReLU(name="relu_dense"))
    model.add(keras.layers.BatchNormalization(momentum=momentum, name="bn_dense"))
    model.add(keras.layers.Dropout(0.5, name="dropout_dense"))
    model.add(keras.layers.Dense(len(KINDS), activation="softmax", name="class"))
    return model


def image_directory(*, images: int, seed: int) -> Path:
    """Return the directory with the images, in the user's cache directory (`$XDG_CACHE_HOME`, else `~/.cache`).

    The first call with these arguments makes the images. A call that is stopped leaves no directory of this name.

    Args:
        images: number of images, see `make_images`.
        seed: of the images.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "tuimon" / "real_vs_fake" / f"images={images}-seed={seed}"
    if not directory.exists():
        print(f"making {images:,} images, once; they are kept in {directory}", flush=True)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=directory.parent) as unfinished:
            made = Path(unfinished, directory.name)
            make_images(made, images=images, seed=seed)
            try:
                made.rename(directory)
            except OSError:
                if not directory.exists():  # if it exists, another run was faster, with the same images
                    raise
    return directory


def load_images(
    *,
    images: int = 8000,
    batch_size: int = 32,
    data_format: str | None = None,
    seed: int = 2,
) -> dict[str, tf.data.Dataset]:
    """Return the images of both sources, merged and shuffled as a whole, so that no spike comes from their order.

    Args:
        images: number of all images; one in five is for validation.
        batch_size: of training and validation.
        data_format: as in `build_model`.
        seed: of the images and of their order.

    Returns: data sets `x` and `validation_data`, whose batches are images, float32 from 0 to 1, `(batch, 64, 64, 3)` or
        channels first, and classes, int32, `(batch,)`: 0 is real, 1 is fake.
    """
    directory = image_directory(images=images, seed=seed)

    def read(split: str) -> tf.data.Dataset:
        """Return single images of both sources as uint8, which takes a quarter of float32's memory in the cache."""
        first, *others = (
            keras.utils.image_dataset_from_directory(
                directory / source / split,
                class_names=KINDS,
                batch_size=None,
                image_size=(SIZE, SIZE),
                data_format=data_format,
                seed=seed,
                verbose=False,
            )
            for source in SOURCES
        )
        for other in others:
            first = first.concatenate(other)
        return first.map(lambda image, kind: (tf.cast(image, tf.uint8), kind))

    def batches(images: tf.data.Dataset) -> tf.data.Dataset:
        scaled = images.batch(batch_size).map(lambda image, kind: (tf.cast(image, tf.float32) / 255, kind))
        return scaled.prefetch(tf.data.AUTOTUNE)

    train, validation = read("train").cache(), read("validation")
    # Mix the validation images once: a batch of one source and kind has batch statistics that training never sees.
    mixed = validation.shuffle(len(validation), seed=seed, reshuffle_each_iteration=False).cache()
    return {"x": batches(train.shuffle(len(train), seed=seed)), "validation_data": batches(mixed)}
