"""Texts to vectors: tokenise, run the encoder, pool, normalise."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from inference.artifacts import prepared_graph
from inference.domain import Embeddings, Encoding, FloatArray, IntArray, ModelInfo, Pooling, TextKind
from inference.errors import UnsupportedModel
from inference.model import ModelDirectory, resolve
from inference.runtime import Cpu, Runtime, Session, default_threads, open_session, parse_runtime
from inference.tokens import TextTokenizer, load_tokenizer

T = TypeVar("T")


def load_session(
    model: ModelDirectory, sha256: str, runtime: Runtime, threads: int, *, classifier: bool = False
) -> Session:
    """Prepares the graph of a model for a runtime and loads it. Blocking.

    Raises:
        UnsupportedModel: The runtime can't load it, or is not installed.
    """
    if runtime is Runtime.TORCH:
        return _torch_session(model, threads, classifier)
    on_onnxruntime = runtime in (Runtime.ONNXRUNTIME_FP32, Runtime.ONNXRUNTIME_INT8)
    bits = Cpu.detect().int8_weight_bits if runtime is Runtime.ONNXRUNTIME_INT8 else None
    graph = prepared_graph(model, sha256, classifier=classifier, fused_attention=on_onnxruntime, int8_bits=bits)
    return open_session(graph, runtime, threads)


def _torch_session(model: ModelDirectory, threads: int, classifier: bool) -> Session:
    try:
        from inference.torch_session import TorchSession
    except ImportError:
        raise UnsupportedModel(
            "runtime torch needs torch and transformers: install the dependency group 'torch'"
        ) from None
    return TorchSession(model, threads, classifier=classifier)


def padded(encodings: Sequence[Encoding]) -> tuple[IntArray, IntArray, IntArray]:
    """Ids, mask and segment ids of one pass, each (b, t) int64 with zeros behind the shorter texts."""
    if len(encodings) == 1 and encodings[0].types is None:
        ids = encodings[0].ids[None, :]
        return ids, np.ones_like(ids), np.zeros_like(ids)
    shape = (len(encodings), max(len(e.ids) for e in encodings))
    ids, mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, encoding in enumerate(encodings):
        length = len(encoding.ids)
        ids[row, :length] = encoding.ids
        mask[row, :length] = 1
        if encoding.types is not None:
            types[row, :length] = encoding.types
    return ids, mask, types


def normalised(vectors: FloatArray) -> FloatArray:
    """Rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: FloatArray = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled


class TextEncoder:
    """A loaded text encoder. Thread-safe; every method blocks, so call it from a worker thread.

    On CPUs a pass holds one text: with int8 activations a vector would otherwise depend on what else is in its batch,
    padding would be paid for, and larger passes were not faster. `Session.concurrency` passes run at once.

    Attributes:
        info: What is loaded.
        concurrency: How many passes may usefully run at once.
        pass_tokens: Padded tokens worth putting into one pass.
    """

    def __init__(self, info: ModelInfo, tokenizer: TextTokenizer, session: Session) -> None:
        self.info = info
        self.concurrency = session.concurrency
        self.pass_tokens = session.pass_tokens
        self._tokenizer = tokenizer
        self._session = session

    @classmethod
    def load(cls, model: str, *, runtime: str = "auto", threads: int | None = None) -> "TextEncoder":
        """Loads a model; 1–3 s the first time, under 1 s with its graph cached.

        Args:
            model: See `inference.model.resolve`.
            runtime: `auto` or the name of a `Runtime`.
            threads: Cores to use; all that the process may use by default.

        Raises:
            ModelNotFound: There is no such model.
            UnsupportedModel: The engine can't run it.
            WeightsMismatch: Its weights are not the pinned ones.
        """
        directory = resolve(model)
        chosen = parse_runtime(runtime, Cpu.detect())
        sha256 = directory.verified_sha256()
        tokenizer = TextTokenizer(load_tokenizer(directory.path), directory.max_tokens)
        session = load_session(directory, sha256, chosen, threads or default_threads())
        probe = session.run(*padded(tokenizer.tokenize(["probe"])))
        if probe.ndim != 3:
            raise UnsupportedModel("the graph gives no token vectors: is it a cross-encoder?")
        info = ModelInfo(
            model_id=directory.model_id,
            revision=sha256[:12],
            dimensions=probe.shape[2],
            max_tokens=directory.max_tokens,
            pooling=directory.pooling,
            query_prompt=directory.query_prompt,
            passage_prompt=directory.passage_prompt,
            runtime=str(chosen),
        )
        return cls(info, tokenizer, session)

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[Encoding]:
        """Tokenises texts behind the prompt of their kind, in order."""
        return self._tokenizer.tokenize(texts, self.info.prompt(kind))

    def embed_pass(self, encodings: Sequence[Encoding]) -> list[FloatArray]:
        """One forward pass over texts that are not empty: a (d,) float32 L2-normalised vector for each."""
        ids, mask, types = padded(encodings)
        hidden = self._session.run(ids, mask, types)
        if self.info.pooling is Pooling.CLS:
            pooled = hidden[:, 0]
        elif len(encodings) == 1:
            pooled = hidden.mean(axis=1)
        else:
            weights = mask.astype(np.float32)
            pooled = np.einsum("btd,bt->bd", hidden, weights) / weights.sum(axis=1, keepdims=True)
        return list(normalised(pooled))

    def token_pass(self, encodings: Sequence[Encoding]) -> list[FloatArray]:
        """One forward pass over texts that are not empty: (t, d) float32 L2-normalised rows for each, without special
        tokens."""
        hidden = normalised(self._session.run(*padded(encodings)))
        return [hidden[row, e.prefix : len(e.ids) - e.suffix].copy() for row, e in enumerate(encodings)]

    def encode(self, texts: Sequence[str], kind: TextKind) -> Embeddings:
        """Embeds texts on all cores at once; for a server use `inference.engine`, which batches across callers."""
        encodings = self.tokenize(texts, kind)
        vectors = self._on_all_cores(lambda e: self.embed_pass([e])[0], encodings)
        return embeddings_of(encodings, vectors, self.info.dimensions)

    def encode_tokens(self, texts: Sequence[str], kind: TextKind) -> list[FloatArray]:
        """Token vectors of each text, (t_i, d) float32 L2-normalised rows without special tokens; (0, d) if empty."""
        encodings = self.tokenize(texts, kind)
        vectors = iter(self._on_all_cores(lambda e: self.token_pass([e])[0], encodings))
        nothing = np.zeros((0, self.info.dimensions), np.float32)
        return [nothing if encoding.empty else next(vectors) for encoding in encodings]

    def _on_all_cores(self, work: Callable[[Encoding], T], encodings: Iterable[Encoding]) -> list[T]:
        todo = [encoding for encoding in encodings if not encoding.empty]
        if len(todo) < 2 or self.concurrency < 2:
            return [work(encoding) for encoding in todo]
        # Longest first, so that no core is left with a long text at the end.
        order = sorted(range(len(todo)), key=lambda i: -todo[i].tokens)
        with ThreadPoolExecutor(self.concurrency) as pool:
            done = dict(zip(order, pool.map(lambda i: work(todo[i]), order), strict=True))
        return [done[i] for i in range(len(todo))]


def embeddings_of(encodings: Sequence[Encoding], vectors: Sequence[FloatArray], dimensions: int) -> Embeddings:
    """Puts vectors of the texts that are not empty back among all texts."""
    matrix = np.zeros((len(encodings), dimensions), np.float32)
    filled = [row for row, encoding in enumerate(encodings) if not encoding.empty]
    if filled:
        matrix[filled] = np.stack(vectors)
    return Embeddings(
        matrix,
        tuple(e.tokens for e in encodings),
        tuple(e.truncated for e in encodings),
        tuple(e.empty for e in encodings),
    )
