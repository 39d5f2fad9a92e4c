"""Models of sequences: padding changes nothing, the order of words does, and other columns count as well."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from headway_api.data import Data
from headway_api.model import Model, TokenOptions, tokens_of
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.transform import Number, Step, TableChain, fit_tokens
from headway_trainer.errors import UserError
from headway_trainer.export import stage
from headway_trainer.models import build
from headway_trainer.models.sequence import _Lstm
from headway_trainer.programs import Supervised
from headway_trainer.storage import Store
from headway_trainer.tasks import task_of
from headway_trainer.training.loop_inputs import LoopInputs
from texts import write_reviews
from training_runs import finish, make_job, run_until, same, training

WORDS = "abcdefg"
LSTM: dict[str, Any] = {"embedding": 6, "hidden": 5, "layers": 2, "dropout": 0.2}
TRANSFORMER: dict[str, Any] = {"width": 8, "heads": 2, "hidden": 6, "dropout": 0.2}
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("lstm", LSTM),
    ("lstm", {**LSTM, "bidirectional": False}),
    ("transformer", TRANSFORMER),
]
TEXTS = st.lists(st.text(WORDS, max_size=6).map(" ".join), min_size=1, max_size=5)


def _data(length: int, texts: int = 1) -> tuple[DataInfo, TableChain]:
    """A number, then texts of at most so many tokens."""
    table = pa.table({"n": [1.0, 2.0], **{f"t{index}": [" ".join(WORDS)] * 2 for index in range(texts)}})
    tokens = fit_tokens(TokenOptions(length=length))
    steps = [Step("n", Number.fit), *(Step(f"t{index}", tokens) for index in range(texts))]
    chain = TableChain.fit(steps, table, torch.arange(2).numpy(), "none")
    info = DataInfo(
        task="classification",
        input_shape=chain.input_shape,
        outputs=2,
        classes=["a", "b"],
        transforms=chain,
        rows={},
        content_hash="",
        digest="",
    )
    return info, chain


def _built(name: str, options: dict[str, Any], info: DataInfo) -> nn.Module:
    torch.manual_seed(0)
    return build(Model(name=name, options=options), info, load_function=lambda _: nn.Identity).model


def _features(chain: TableChain, *texts: list[str], n: float = 1.0) -> torch.Tensor:
    columns = {f"t{index}": column for index, column in enumerate(texts)}
    return torch.from_numpy(chain.apply(pa.table({"n": [n] * len(texts[0]), **columns})))


@pytest.mark.parametrize(("name", "options"), MODELS)
@settings(max_examples=20)
@given(texts=TEXTS)
def test_what_stands_after_a_texts_end_changes_nothing(name: str, options: dict[str, Any], texts: list[str]) -> None:
    (short, short_chain), (long, long_chain) = _data(6), _data(11)
    one, other = _built(name, options, short).eval(), _built(name, options, long).eval()
    other.load_state_dict(one.state_dict())
    alone = torch.cat([one(_features(short_chain, [text])) for text in texts])
    assert torch.allclose(other(_features(long_chain, texts)), alone, atol=1e-5)


@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4))
@settings(max_examples=20)
def test_lstm_gives_what_pytorchs_gives_for_packed_sequences(lengths: list[int]) -> None:
    info, _ = _data(7)
    encoder = next(
        one for one in _built("lstm", {**LSTM, "layers": 1}, info).eval().modules() if isinstance(one, _Lstm)
    )
    both = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    names = dict(encoder.forwards[0].named_parameters())
    names |= {f"{name}_reverse": value for name, value in encoder.backwards[0].named_parameters()}
    both.load_state_dict(names)
    numbers = torch.tensor([[2 + index % 5 if index < length else 0 for index in range(7)] for length in lengths])
    packed = pack_padded_sequence(
        encoder.embedding(numbers), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    values, _ = pad_packed_sequence(both(packed)[0], batch_first=True)
    expected = values.sum(dim=1) / torch.tensor(lengths).unsqueeze(1)
    assert torch.allclose(encoder(numbers), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_an_empty_text_has_a_result_and_gradients_that_are_numbers(name: str, options: dict[str, Any]) -> None:
    info, chain = _data(4)
    model = _built(name, options, info)
    outputs = model(_features(chain, ["", "a b"]))
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in model.parameters())


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_order_other_columns_and_each_of_several_texts_count(name: str, options: dict[str, Any]) -> None:
    info, chain = _data(4, texts=2)
    model = _built(name, options, info).eval()
    base = model(_features(chain, ["a b"], ["c"]))
    for other in (
        _features(chain, ["b a"], ["c"]),
        _features(chain, ["a b"], ["d"]),
        _features(chain, ["c"], ["a b"]),
        _features(chain, ["a b"], ["c"], n=2.0),
    ):
        assert not torch.allclose(model(other), base, atol=1e-6)


def test_a_model_of_texts_says_so_where_there_is_none() -> None:
    info = _data(4)[0].model_copy(update={"transforms": None})
    with pytest.raises(UserError, match=r"lstm is for tables with a column of text.*set model\.name to mlp"):
        _built("lstm", LSTM, info)


def _job(store: Store, model: Model, folder: Path, *, epochs: int, attempt: int = 1) -> LoopInputs:
    """A training run on prepared rows with a text."""
    spec = Data.model_validate({"source": {"uri": write_reviews(folder)}, "target": "label"})
    info = prepare(spec, seed=0, store=store, tokens=tokens_of(model))
    train, validation = (read_split(store, info, part) for part in ("train", "validation"))
    fields = {"epochs": epochs, "optimizer": {"lr": 0.02}, "checkpoint": {"everySteps": 2}}
    built = _built(model.name or "", model.options, info)
    job = make_job(store, training(**fields), attempt=attempt, model=Supervised(built, task_of(info)))
    return dataclasses.replace(job, info=info, train=train, validation=validation)


@pytest.mark.parametrize(("name", "options"), [MODELS[0], MODELS[2]])
def test_killed_and_resumed_it_has_the_same_weights_bit_for_bit(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    model = Model(name=name, options={**options, "length": 8})
    _, weights = finish(_job(Store.open(str(tmp_path / "whole")), model, tmp_path, epochs=2))
    store = Store.open(str(tmp_path / "killed"))
    run_until(_job(store, model, tmp_path, epochs=2), 5)
    end, again = finish(_job(store, model, tmp_path, epochs=2, attempt=2))
    assert end.resumed_from_step == 4
    assert same(weights, again)


@pytest.mark.parametrize(("name", "options"), [MODELS[0], MODELS[2]])
def test_it_learns_what_the_order_of_words_means_and_takes_raw_texts_when_it_is_exported(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    store = Store.open(str(tmp_path / "run"))
    job = _job(store, Model(name=name, options={**options, "length": 8, "dropout": 0.0}), tmp_path, epochs=14)
    end, _ = finish(job)
    # One text in 17 is missing; a bag of words tells no two of the others apart.
    assert (end.history[-1].validation["accuracy"] or 0) > 0.9
    info = DataInfo.model_validate_json(job.info.model_dump_json())  # as the training process has it
    exported = stage.export(job.model, info, store, "data/model-1.onnx")
    assert exported.problem is None
    assert exported.parity is not None
    assert exported.parity.holds
