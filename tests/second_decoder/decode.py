"""From files to symbols, and from symbols to payloads (sections 6.6, 7.2 and 9)."""

from collections.abc import Callable

from . import container
from .coder import BYTE_CUMULATIVES, Decoder, Encoder
from .errors import Corrupt, Desync, UnknownModel
from .prior import Prediction, Prior

MIN_VALUE = -32768

Frame = list[int]
CodeGroup = Callable[[list[Prediction], int, int], list[int]]


def check_model(header: container.Header, prior: Prior, fingerprint: int) -> None:
    """Make the checks M1 and M2 with the one model that there is."""
    if header.model_id != prior.weights.model_id:  # M1
        raise UnknownModel(f"model id {header.model_id}")
    if (header.fingerprint, header.n_latent) != (fingerprint, prior.n_latent):  # M2
        raise Desync("the model has another prior")


def decode_file(data: bytes, prior: Prior) -> list[list[Frame]]:
    """Return the symbols of a file as [channel][dimension][frame]; refuse it as section 11 says."""
    fingerprint = prior.weights.fingerprint()
    file = container.read_file(data, lambda header: check_model(header, prior, fingerprint))
    step_index = file.header.step_index
    channels: list[list[Frame]] = [[] for _ in range(file.header.n_channels)]
    for chunk in file.chunks:
        for channel, record in zip(channels, chunk, strict=True):
            channel += decode_payload(prior, step_index, record.n_frames, record.payload, form=True)
    return [[list(dimension) for dimension in zip(*channel, strict=True)] for channel in channels]


def decode_payload(
    prior: Prior, step_index: int, n_frames: int, payload: bytes, form: bool = False
) -> list[Frame]:
    """Return the frames that a payload holds (section 9, step 6).

    With `form`, refuse an escape that section 6.6 does not allow, and a payload that is not the
    one of the entries in it (section 7.4).
    """
    decoder = Decoder(payload)
    escape, largest = prior.n_entries - 1, prior.n_entries // 2 - 1

    def read_group(predictions: list[Prediction], _frame: int, _first: int) -> list[int]:
        entries = [decoder.entry(prior.cumulatives(p)) for p in predictions]
        group = [p.whole + e - largest for p, e in zip(predictions, entries, strict=True)]
        for i, e in enumerate(entries):
            if e == escape:
                high, low = decoder.entry(BYTE_CUMULATIVES), decoder.entry(BYTE_CUMULATIVES)
                group[i] = 256 * high + low + MIN_VALUE
                if form and abs(group[i] - predictions[i].whole) <= largest:
                    raise Corrupt("an escaped symbol that has an entry of its own")
        return group

    frames = _walk(prior, step_index, n_frames, read_group)
    if form and decoder.canonical() != payload:
        raise Corrupt("a payload is not the one of its entries")
    return frames


def encode_payload(prior: Prior, step_index: int, frames: list[Frame]) -> bytes:
    """Return the payload of frames (sections 6.6, 7.2 and 7.4)."""
    encoder = Encoder()
    escape, largest = prior.n_entries - 1, prior.n_entries // 2 - 1

    def write_group(predictions: list[Prediction], frame: int, first: int) -> list[int]:
        group = frames[frame][first : first + len(predictions)]
        residuals = [s - p.whole for s, p in zip(group, predictions, strict=True)]
        entries = [r + largest if abs(r) <= largest else escape for r in residuals]
        for p, e in zip(predictions, entries, strict=True):
            encoder.entry(prior.cumulatives(p), e)
        for symbol, e in zip(group, entries, strict=True):
            if e == escape:
                for byte in divmod(symbol - MIN_VALUE, 256):
                    encoder.entry(BYTE_CUMULATIVES, byte)
        return group

    _walk(prior, step_index, len(frames), write_group)
    return encoder.payload()


def _walk(prior: Prior, step_index: int, n_frames: int, code_group: CodeGroup) -> list[Frame]:
    """Go through a chunk in the order of section 7.2.

    `code_group` is given what the prior says of a group, the frame and the group's first dimension,
    and returns the group's symbols.
    """
    frames: list[Frame] = []
    for t in range(n_frames):
        frame: Frame = []
        for g in range(prior.n_groups):
            predictions = prior.predict(g, prior.context(step_index, frames, frame))
            frame += code_group(predictions, t, g * prior.group_size)
        frames.append(frame)
    return frames
