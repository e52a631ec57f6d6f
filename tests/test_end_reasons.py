"""The one line that says why a run ended, from exceptions and from what was printed of them."""

import traceback
from collections.abc import Callable

import pytest

from tuimon.protocol import events
from tuimon.runs import end_reasons

KERAS = """Exception encountered when calling Sequential.call().

\x1b[1mInput 0 with name 'None' of layer 'dense' is incompatible with the layer: expected axis -1 to have value 4\x1b[0m

Arguments received by Sequential.call():
  • inputs=tf.Tensor(shape=(32, 5), dtype=float32)
  • training=True"""
GRAPH = """Graph execution error:

Detected at node compile_loss/loss/SparseSoftmax defined at (most recent call last):
  File "train.py", line 14, in <module>

  File "keras/src/losses/losses.py", line 2359, in sparse_categorical_crossentropy

Received a label value of 7 which is outside the valid range of [0, 3).
\t [[{{node compile_loss/loss/SparseSoftmax}}]] [Op:__inference_multi_step_on_iterator_622]"""
OF_A_FILE = """Graph execution error:

Detected at node ReadFile defined at (most recent call last):
<stack traces unavailable>
/data/0.png; No such file or directory
\t [[{{node ReadFile}}]]
\t [[IteratorGetNext]] [Op:__inference_multi_step_on_iterator_1420]"""
OF_A_FUNCTION = """Graph execution error:

Detected at node EagerPyFunc defined at (most recent call last):
<stack traces unavailable>
Error in user-defined function passed to MapDataset:49 transformation with iterator: Iterator::Root::Map: ValueError: \
bad record
Traceback (most recent call last):

  File "data.py", line 30, in f
    raise ValueError("bad record")

ValueError: bad record


\t [[{{node EagerPyFunc}}]]
\t [[IteratorGetNext]] [Op:__inference_multi_step_on_iterator_1996]"""
SHAPES = (
    "Exception encountered when calling L.call().\n\n\x1b[1mCould not automatically infer the output shape / dtype of "
    "'l' (of type L). Either the `L.call()` method is incorrect. Error encountered:\n\nDimensions must be equal, but "
    "are 4 and 9 for '{{node MatMul}} = MatMul[T=DT_FLOAT](Placeholder, ones)' with input shapes: [32,4], [9,2].\x1b[0m"
    "\n\nArguments received by L.call():\n  • args=()"
)


class InvalidArgumentError(Exception):
    """As TensorFlow's."""


class NotFoundError(Exception):
    """As TensorFlow's."""


class OfTheUserError(Exception):
    """With a text that cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class _ArrayMemoryError(MemoryError):
    """As NumPy's."""


def caught(raising: Callable[[], object]) -> BaseException:
    try:
        raising()
    except BaseException as error:  # noqa: BLE001 - of all kinds
        return error
    raise AssertionError("nothing was raised")


def raised(error: BaseException) -> BaseException:
    def raising() -> None:
        raise error

    return caught(raising)


def chained() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise RuntimeError("cannot write the report") from error


def fail_without_a_word() -> None:
    raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (raised(ValueError("no data today")), "ValueError: no data today"),
        (
            raised(ValueError(KERAS)),
            "ValueError: Input 0 with name 'None' of layer 'dense' is incompatible with the layer: expected axis -1 to "
            "have value 4 (in Sequential.call())",
        ),
        (
            raised(InvalidArgumentError(GRAPH)),
            "InvalidArgumentError: Received a label value of 7 which is outside the valid range of [0, 3).",
        ),
        (raised(NotFoundError(OF_A_FILE)), "NotFoundError: /data/0.png; No such file or directory"),
        (raised(InvalidArgumentError(OF_A_FUNCTION)), "ValueError: bad record"),
        (
            raised(ValueError(SHAPES)),
            "ValueError: Dimensions must be equal, but are 4 and 9 for 'MatMul' with input shapes: [32,4], [9,2]. "
            "(in L.call())",
        ),
        (raised(KeyError("gain")), "KeyError: 'gain'"),
        (raised(KeyError(SHAPES.replace("Dimensions", "'gain', dimensions"))), None),
        (raised(ValueError("two\nlines")), "ValueError: two lines"),
        (raised(FileNotFoundError(2, "No such file", "a.npz")), "FileNotFoundError: [Errno 2] No such file: 'a.npz'"),
        (caught(chained), "RuntimeError: cannot write the report"),
        (raised(ValueError("a \x1b[31mred\x1b[0m word\a")), "ValueError: a red word�"),
    ],
)
def test_a_reason_is_the_type_and_the_sentence_at_hand_and_from_the_traceback(
    error: BaseException, said: str | None
) -> None:
    reason = end_reasons.of_exception(error)
    assert reason == said or (said is None and reason.startswith("KeyError: 'gain', dimensions"))
    printed = "".join(traceback.format_exception(error))
    assert end_reasons.of_ended(events.RunEnded(status="failed", traceback=printed)) == reason
    assert end_reasons.of_ended(events.RunEnded(status="failed", traceback=printed, reason="this")) == "this"


def test_what_has_no_text_is_placed() -> None:
    error = caught(fail_without_a_word)
    assert end_reasons.of_exception(error).startswith("RuntimeError at test_end_reasons.py:")
    assert end_reasons.of_exception(error).endswith(": raise RuntimeError")
    assert end_reasons.of_exception(raised(OfTheUserError())).startswith("OfTheUserError at test_end_reasons.py:")
    assert end_reasons.of_exception(ValueError()) == "ValueError"


def test_other_kinds_of_exceptions() -> None:
    several = ExceptionGroup("loading", [OSError("disk 3 is gone"), ValueError("b")])
    assert end_reasons.of_exception(several) == (
        "ExceptionGroup: loading (2 sub-exceptions); the first: OSError: disk 3 is gone"
    )
    printed = "".join(traceback.format_exception(raised(several)))
    assert end_reasons.of_traceback(printed).startswith("ExceptionGroup: loading (2 sub-exceptions)")
    no_python = caught(lambda: compile("a b", "mine.py", "exec"))
    assert end_reasons.of_exception(no_python) == "SyntaxError: invalid syntax (mine.py, line 1)"
    private = _ArrayMemoryError("Unable to allocate 3 GiB")
    assert end_reasons.of_exception(private) == "MemoryError: Unable to allocate 3 GiB"


def test_a_long_message_ends_with_a_sentence() -> None:
    reason = end_reasons.of_exception(ValueError("a word of it, and another one. " * 30))
    assert len(reason) < end_reasons.LONGEST + 20
    assert reason.endswith("one.")
    assert end_reasons.of_exception(ValueError("x" * 10_000_000)).endswith("…")


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (KeyboardInterrupt(), ("stopped", "Ctrl-C (KeyboardInterrupt)")),
        (SystemExit(), ("stopped", "sys.exit()")),
        (SystemExit(0), ("stopped", "sys.exit(0)")),
        (SystemExit(3), ("failed", "sys.exit(3)")),
        (SystemExit("no GPU"), ("failed", "sys.exit: no GPU")),
        (MemoryError(), ("failed", "MemoryError")),
    ],
)
def test_an_exception_may_be_a_wish_to_stop(error: BaseException, ended: tuple[str, str]) -> None:
    assert end_reasons.how_ended(error) == ended


def test_what_a_process_printed_says_why_it_ended() -> None:
    fatal = (
        'epoch 1\nFatal Python error: Segmentation fault\n\nThread 0x1 (most recent call first):\n  File "a.py", line '
        '9 in wait\n\nCurrent thread 0x2 (most recent call first):\n  File "/home/me/mine.py", line 3 in build\n'
    )
    assert end_reasons.of_output(fatal) == "segmentation fault at mine.py:3"
    printed = "".join(traceback.format_exception(raised(ImportError("no module"))))
    assert end_reasons.of_output(f"epoch 1\n{printed}") == "ImportError: no module"
    assert end_reasons.of_output("epoch 1\nE0000 00:00:1 cuda_dnn.cc: cuInit: UNKNOWN ERROR (303)\n") == ""
    assert end_reasons.of_output("") == ""
