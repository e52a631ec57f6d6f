"""Fine-tuning on one sample: why is the training loss so much worse than the validation loss of the same sample?

A network of Dense and BatchNormalization layers maps the radio channel of a user to the beam that the base station
should send. Trained on 100,000 channels it does so almost perfectly. Then it is fine-tuned on one channel, which is
also the validation data: `evaluate` and the validation loss say -6.1 bit/s/Hz, the training loss says -0.3.

In a batch of one, each channel of a BatchNormalization has the sample as its mean and a variance of zero. So
gamma * (x - mean) / sqrt(variance + epsilon) + beta equals beta for any sample. In training, the network gives the same
beam to everybody: the one for the mean channel. No gradient passes this layer either: only beta of the last layer
learns. Validation uses the moving statistics of the pre-training, and is right.

finetune_one_sample.toml names the functions. Nothing here depends on the program that runs it.
"""

import os
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops


def draw_channels(count: int, *, antennas: int = 64, rician_factor: float = 0.05, seed: int = 2) -> np.ndarray:
    """Return Rician channels h from `antennas` antennas to one user: a faint line of sight and many reflections.

    h = sqrt(K / (K + 1)) * a + sqrt(1 / (K + 1)) * g with K the Rician factor (power of the line of sight over that of
    the reflections), a = (1, …, 1), the user straight ahead, and g complex normal. Mean power of an antenna: 1.
    (Tse and Viswanath, Fundamentals of Wireless Communication, section 2.4.2.)

    The line of sight gives the channels a mean. So the beam for the mean channel, and with it the training loss of a
    batch of one, depend on the data and not on an accident of the pre-training.

    Returns: float32, `(count, 2 * antennas)`: real parts, then imaginary parts. Row i does not depend on `count`.
    """
    generator = np.random.default_rng(seed)
    channels = generator.standard_normal((count, 2 * antennas), dtype=np.float32)
    channels *= np.float32(np.sqrt(0.5 / (rician_factor + 1)))
    channels[:, :antennas] += np.float32(np.sqrt(rician_factor / (rician_factor + 1)))
    return channels


def negative_rate(y_true, y_pred):
    """Return the loss -log2(1 + SNR * |h^H w|^2), the negative rate in bit/s/Hz, `(batch,)`.

    Args:
        y_true: sqrt(SNR) * h, `(batch, 2 * antennas)`: real parts, then imaginary parts.
        y_pred: the beam w, of any length, in the same form. A beam is a direction, so it is divided by its norm. That
            happens here, so that the network consists of Dense and BatchNormalization layers alone.
    """
    antennas = ops.shape(y_true)[-1] // 2
    channel_real, channel_imaginary = y_true[:, :antennas], y_true[:, antennas:]
    beam_real, beam_imaginary = y_pred[:, :antennas], y_pred[:, antennas:]
    real = ops.sum(channel_real * beam_real + channel_imaginary * beam_imaginary, axis=-1)
    imaginary = ops.sum(channel_real * beam_imaginary - channel_imaginary * beam_real, axis=-1)
    power = ops.sum(ops.square(y_pred), axis=-1) + keras.config.epsilon()
    return -ops.log2(1 + (ops.square(real) + ops.square(imaginary)) / power)


def rate_bound(y_true: np.ndarray) -> float:
    """Return the lowest mean loss, -log2(1 + SNR * |h|^2) in bit/s/Hz, with the beam w = h / |h| for each user."""
    return float(np.mean(-np.log2(1 + np.sum(np.square(y_true), axis=-1))))


def beamformer(*, antennas: int, units: int, hidden_layers: int, momentum: float, seed: int) -> keras.Model:
    """Return `hidden_layers` times Dense, BatchNormalization, ReLU, then Dense, BatchNormalization, not trained.

    The initializers have their own seeds, so the global random state is neither used nor changed.
    """
    model = keras.Sequential([keras.Input((2 * antennas,), name="channel")], name="beamformer")
    for number in range(1, hidden_layers + 2):
        last = number > hidden_layers
        initializer = keras.initializers.GlorotUniform(seed=seed + number)
        model.add(
            keras.layers.Dense(2 * antennas if last else units, kernel_initializer=initializer, name=f"dense_{number}")
        )
        model.add(keras.layers.BatchNormalization(momentum=momentum, name=f"bn_{number}"))
        if not last:
            model.add(keras.layers.ReLU(name=f"relu_{number}"))
    return model


def build_model(
    *,
    antennas: int = 64,
    snr: float = 1.0,
    rician_factor: float = 0.05,
    units: int = 512,
    hidden_layers: int = 2,
    momentum: float = 0.9999,
    samples: int = 100_000,
    epochs: int = 6,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    seed: int = 2,
) -> keras.Model:
    """Return the beamformer with its pre-trained weights, not compiled.

    The first call with these settings pre-trains it and writes `pre_trained.weights.h5` in the user's cache directory
    (`$XDG_CACHE_HOME`, else `~/.cache`); later ones load it.

    Args:
        antennas: of the base station. The network has twice as many inputs and outputs.
        snr: transmit power over noise power, linear, not in dB.
        rician_factor: of the channels, see `draw_channels`.
        units: of each hidden layer.
        hidden_layers: number of hidden layers.
        momentum: of BatchNormalization, in the model returned. The pre-training always has 0.99, Keras' default.
        samples: channels of the pre-training.
        epochs: of the pre-training.
        batch_size: of the pre-training.
        learning_rate: of the pre-training, with Adam, at its start; it falls to 0 as a half cosine.
        seed: of the channels and of the initial weights.
    """
    network = {"antennas": antennas, "units": units, "hidden_layers": hidden_layers, "seed": seed}
    data = {"snr": snr, "rician_factor": rician_factor, "samples": samples}
    training = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    key = "-".join(f"{name}={value}" for name, value in (network | data | training).items())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    weights = cache / "tuimon" / "finetune_one_sample" / key / "pre_trained.weights.h5"

    if not weights.exists():
        x = draw_channels(samples, antennas=antennas, rician_factor=rician_factor, seed=seed)
        pre_trained = beamformer(**network, momentum=0.99)
        pre_train(pre_trained, x, np.float32(np.sqrt(snr)) * x, **training)
        weights.parent.mkdir(parents=True, exist_ok=True)
        unfinished = weights.with_name(f"{os.getpid()}.{weights.name}")
        pre_trained.save_weights(unfinished)
        unfinished.replace(weights)  # a run that is stopped earlier leaves no partial file of this name

    model = beamformer(**network, momentum=momentum)
    model.load_weights(weights)
    return model


def pre_train(model: keras.Model, x: np.ndarray, y: np.ndarray, *, epochs: int, batch_size: int, learning_rate: float):
    """Train with Adam on `x`, `y`, each `(samples, 2 * antennas)`, and print a line for each epoch."""
    bound, begin = rate_bound(y), time.monotonic()

    def print_progress(epoch: int, logs: dict) -> None:
        loss, seconds = f"loss {logs['loss']:.2f} (bound {bound:.2f})", time.monotonic() - begin
        print(f"pre-training, epoch {epoch + 1}/{epochs}: {loss}, {seconds:.0f} s", flush=True)

    print(f"pre-training on {len(x):,} channels, once; the weights are kept for later runs", flush=True)
    steps = epochs * -(-len(x) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=steps)
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=negative_rate)
    # The channels are random, so they need no shuffling, which would use the global random state.
    progress = keras.callbacks.LambdaCallback(on_epoch_end=print_progress)
    model.fit(x, y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=[progress])


def load_sample(
    *, index: int = 61432, antennas: int = 64, snr: float = 1.0, rician_factor: float = 0.05, seed: int = 2
) -> dict[str, np.ndarray | tuple[np.ndarray, np.ndarray]]:
    """Return one channel of the pre-training data, for training and for validation.

    Args:
        index: number of the channel. In number 61432 of the default settings the reflections happen to cancel most of
            the line of sight, so the beam for the mean channel misses this user.
        antennas: as in `build_model`, like all that follow.
        snr: linear.
        rician_factor: see `draw_channels`.
        seed: of the channels.

    Returns: `x`, h, and `y`, sqrt(SNR) * h, each float32, `(1, 2 * antennas)`, and `validation_data`, `(x, y)`.
    """
    x = draw_channels(index + 1, antennas=antennas, rician_factor=rician_factor, seed=seed)[index:]
    y = np.float32(np.sqrt(snr)) * x
    return {"x": x, "y": y, "validation_data": (x, y)}
