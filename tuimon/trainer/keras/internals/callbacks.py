"""What Keras' own callbacks keep from one epoch to the next. Keras gives these attributes no common name."""

from typing import Any, NamedTuple

import keras


class Kind(NamedTuple):
    """What a class of Keras' callbacks keeps."""

    attributes: tuple[str, ...]
    """The attributes that hold it."""
    same: tuple[str, ...] = ()
    """The attributes that must be the same for it to have a meaning."""
    rolls_back: bool = True
    """False if it tells of files or records, which a rollback leaves as they are."""


_MONITORED = ("monitor", "mode")
_KINDS: dict[type[Any], Kind] = {
    keras.callbacks.EarlyStopping: Kind(
        ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"), (*_MONITORED, "restore_best_weights")
    ),
    keras.callbacks.ReduceLROnPlateau: Kind(("wait", "cooldown_counter", "best"), _MONITORED),
    keras.callbacks.ModelCheckpoint: Kind(
        ("best", "_batches_seen_since_last_saving", "_last_batch_seen"), _MONITORED, rolls_back=False
    ),
    keras.callbacks.SwapEMAWeights: Kind(("_ema_weights_in_model",)),
    keras.callbacks.History: Kind(("epoch", "history"), rolls_back=False),
    keras.callbacks.TensorBoard: Kind(("_global_train_batch", "_global_test_batch"), rolls_back=False),
}
_PACKAGES = ("keras.", "tensorflow.")


def kind_of(callback: Any) -> Kind | None:
    """Return what a callback keeps, as one of Keras' own or made of one; None if that is not known."""
    return next((_KINDS[each] for each in type(callback).__mro__ if each in _KINDS), None)


def is_stateless(callback: Any) -> bool:
    """Return True if a callback is Keras' own, and nothing of it matters from one epoch to the next."""
    return f"{type(callback).__module__}.".startswith(_PACKAGES) and kind_of(callback) is None


def restores_backup(callback: Any) -> bool:
    """Return True if a callback restores the training by itself."""
    return isinstance(callback, keras.callbacks.BackupAndRestore)
