"""Texts become tokens for a model of sequences: by the training rows alone, told of, and kept in a file beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from headway_api.data import Data
from headway_api.model import Model, TokenOptions, tokens_of
from headway_cli.main import main
from headway_trainer import publish
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.prepared import data_digest
from headway_trainer.data.transform import TableChain, Tokens, fit_tokens
from headway_trainer.data.vocabulary import with_vocabularies
from headway_trainer.errors import UserError
from headway_trainer.export.record import ModelInfo, staged
from headway_trainer.export.stage import export
from headway_trainer.models import build
from headway_trainer.storage import Store
from texts import reviews, write_reviews

OPTIONS = TokenOptions(length=8)


def fitted(texts: list[str | None], **options: Any) -> Tokens:
    return fit_tokens(TokenOptions(**options))("t", pa.chunked_array([texts], pa.string()))


def numbers(tokens: Tokens, *texts: str | None) -> list[list[int]]:
    found: list[list[int]] = tokens.apply(pa.table({"t": pa.array(texts, pa.string())})).astype(int).tolist()
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "run"))


def prepared(store: Store, folder: Path, tokens: TokenOptions | None = OPTIONS, **data: Any) -> DataInfo:
    spec = {"source": {"uri": write_reviews(folder)}, "target": "label", **data}
    return prepare(Data.model_validate(spec), seed=0, store=store, tokens=tokens)


def test_words_are_numbered_by_how_often_they_are_there_whatever_their_case_and_the_signs_around_them() -> None:
    tokens = fitted(["Tea! tea\nTEA", "(good) tea", "Good—coffee", None], length=3)
    assert tokens.vocabulary == 2, "coffee is there once"
    assert numbers(tokens, "good tea", "GOOD,tea", "coffee. Good\ttea tea", None, "", "Tea") == [
        [3, 2, 0],
        [3, 2, 0],  # in capitals a word is known, too
        [1, 3, 2],
        [0, 0, 0],
        [0, 0, 0],
        [2, 0, 0],
    ]


def test_what_stands_within_a_word_belongs_to_it() -> None:
    tokens = fitted(["don't 'don't' well-known", "don't well-known"], length=2)
    assert numbers(tokens, "don't well-known", "'don't' don") == [[2, 3], [2, 1]]


def test_the_vocabulary_is_bounded_and_its_last_places_go_by_the_alphabet() -> None:
    tokens = fitted(["c b a a", "c b a"], length=4, vocabulary=2)
    assert numbers(tokens, "a b c") == [[2, 3, 1, 0]]


def test_characters_need_no_blanks_between_words() -> None:
    tokens = fitted(["中文好", "文中"], length=4, tokens="character")
    assert tokens.vocabulary == 2
    assert numbers(tokens, "文中新") == [[3, 2, 1, 0]]


def test_prepared_rows_hold_numbers_of_tokens_where_the_info_says_and_other_columns_beside(
    store: Store, tmp_path: Path
) -> None:
    info = prepared(store, tmp_path)
    (text,) = info.tokens
    assert (text.start, text.stop) == (1, 9), "after stars, before shop"
    x, _ = read_split(store, info, "train")
    words = x[:, text.start : text.stop]
    assert bool((words == words.round()).all())
    assert words.max() == text.vocabulary + 1
    assert words.min() == 0
    assert x.shape[1] == 1 + 8 + 2


def test_no_row_but_those_of_the_training_part_is_in_the_vocabulary(store: Store, tmp_path: Path) -> None:
    prepared(store, tmp_path, split={"train": 0.5, "validation": 0.5, "test": 0})
    known = json.loads(store.read("data/vocabulary.json"))["text"]
    assert "not" in known
    # Each film is named in one row: nobody knows the number of a row.
    assert not any(word.startswith("film") for word in known)


def test_the_record_has_no_vocabulary_and_does_nothing_without_it(store: Store, tmp_path: Path) -> None:
    info = prepared(store, tmp_path)
    assert "lovely" not in info.model_dump_json()
    read = DataInfo.model_validate_json(info.model_dump_json())
    assert isinstance(read.transforms, TableChain)
    with pytest.raises(ValueError, match="the vocabulary of text was not read"):
        read.transforms.apply(reviews())
    assert with_vocabularies(read, store) == info


def test_rows_are_prepared_anew_for_other_tokens_and_not_for_other_layers(store: Store, tmp_path: Path) -> None:
    data = Data.model_validate({"source": {"uri": "a.csv"}, "target": "y"})
    models = [
        Model(name="mlp"),
        Model(name="lstm"),
        Model(name="lstm", options={"hidden": 3}),
        Model(name="transformer"),
        Model(name="lstm", options={"length": 9}),
    ]
    digests = [data_digest(data, 0, tokens_of(model)) for model in models]
    assert digests[0] == data_digest(data, 0)
    assert digests[1] == digests[2] == digests[3]
    assert len(set(digests)) == 3
    assert prepared(store, tmp_path, None).tokens == []
    assert len(prepared(store, tmp_path).tokens) == 1


def test_what_is_done_to_a_text_and_what_is_cut_off_is_said(store: Store, tmp_path: Path) -> None:
    info = prepared(store, tmp_path, TokenOptions(length=5))
    done = next(column.done for column in info.profile.columns if column.name == "text")
    assert done.startswith("the first 5 words (")
    assert "as the model takes sequences" in done
    (warning,) = [one for one in info.warnings if "longer" in one]
    assert "longer than 5 words, and what follows is cut off: model.options.length keeps more" in warning


def test_a_language_without_blanks_is_warned_of(store: Store, tmp_path: Path) -> None:
    rows = [{"t": "这部电影的音乐非常好听而且演员的表演也十分出色值得一看 " * 2, "y": index % 2} for index in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    spec = {"source": {"uri": str(tmp_path / "rows.jsonl")}, "target": "y", "columns": {"t": {"kind": "text"}}}
    info = prepare(Data.model_validate(spec), seed=0, store=store, tokens=OPTIONS)
    assert any("a word has 27 characters on average" in one and "character" in one for one in info.warnings)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"text": {"role": "ignore"}},
            r"no column of .*reviews.parquet is one: there are 'stars' \(number\), .*'text' \(left out\)",
        ),
        ({"text": {"kind": "category"}}, r"\{NAME: \{kind: text\}\} says which one is, or set model.name to mlp"),
    ],
)
def test_a_model_of_texts_without_a_text_is_refused(
    store: Store, tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        prepared(store, tmp_path, columns=columns)


def test_profile_shows_what_the_jobs_model_makes_of_a_text(tmp_path: Path) -> None:
    job = {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "reviews"},
        "spec": {
            "data": {"source": {"uri": write_reviews(tmp_path)}, "target": "label"},
            "model": {"name": "lstm", "options": {"length": 5}},
            "training": {"epochs": 1},
        },
    }
    (tmp_path / "job.yaml").write_text(json.dumps(job))

    def told(*words: str) -> str:
        found = CliRunner().invoke(main, ["profile", str(tmp_path / "job.yaml"), "-o", "json", *words])
        assert found.exit_code == 0, found.output
        return found.stdout

    assert "the first 5 words" in told()
    assert "cut off: model.options.length" in told()
    assert "most frequent words, 0 and 1" in told("--set", "model={name: mlp}")
    without = told("--set", "data.columns={text: {role: ignore}}")
    assert "Training would be refused: the model learns from texts, and no column" in without


def test_a_finished_model_predicts_for_raw_texts_with_line_ends_and_nothing_in_them(
    store: Store, tmp_path: Path
) -> None:
    info = prepared(store, tmp_path)
    model = build(Model(name="transformer", options={"length": 8}), info, load_function=lambda _: pytest.fail("unused"))
    exported = export(model.model, info, store, staged(1))
    assert exported.problem is None
    store.write("model.safetensors", b"")
    told = ModelInfo(data=info, signature=exported.signature, parity=exported.parity)
    artifacts = publish.publish_model(store, None, exported, told)
    publish.tidy(store)
    assert {one.name: one.path for one in artifacts}["vocabulary"] == "vocabulary.json"
    recorded = DataInfo.model_validate_json(info.model_dump_json())
    assert with_vocabularies(recorded, store, "vocabulary.json") == info, "report.md builds the model again with it"
    rows = [["stars", "text", "shop"], ["3", "not bad\nbut good", "south"], ["", "", ""], ["2", "neu!", "north"]]
    (tmp_path / "new.csv").write_text("\n".join(",".join(f'"{cell}"' for cell in row) for row in rows))
    found = CliRunner().invoke(main, ["predict", str(tmp_path / "run"), str(tmp_path / "new.csv")])
    assert found.exit_code == 0, found.output
    assert len(found.stdout.splitlines()) == 4
