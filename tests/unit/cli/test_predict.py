"""headway predict: what the finished model says of raw rows, in files as people have them."""

from __future__ import annotations

import csv
import datetime
import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from exported import exported
from headway_cli.main import main
from headway_cli.predict import WRITERS
from headway_cli.shown import Steady
from headway_trainer.data import DataInfo
from headway_trainer.data.read.picture import resized
from headway_trainer.data.transform import ArrayChain, TableChain
from series import FIRST_DAY, sales, spec_of

Homes = tuple[str, DataInfo, torch.nn.Module, Path]
"""The folder of a finished model, what is known of its data, the trained model, and the folder where its rows lie."""

OLDEST = datetime.datetime(1950, 1, 1)  # noqa: DTZ001 - as the table has it, without a zone


def _rows() -> pa.Table:
    draw = random.Random(3)  # noqa: S311 - no secret
    count = 240
    return pa.table(
        {
            "size": [draw.gauss(100, 30) if draw.random() > 0.1 else None for _ in range(count)],
            "town": [draw.choice(["Łódź", "Kobe", "a, b", 'say "hi"', "rare"]) for _ in range(count)],
            "zip": [f"{draw.randint(0, 20):05}" for _ in range(count)],
            "new": [draw.random() < 0.5 for _ in range(count)],
            "floors": [draw.randint(1, 5) for _ in range(count)],
            "built": [OLDEST + datetime.timedelta(draw.randint(0, 9000)) for _ in range(count)],
            "fit": [draw.choice(["yes", "no", "peut-être"]) for _ in range(count)],
        }
    )


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    """A model of a table."""
    folder = tmp_path_factory.mktemp("homes")
    parquet.write_table(_rows(), folder / "rows.parquet")
    source = {"source": {"uri": str(folder / "rows.parquet")}, "target": "fit"}
    return (*exported(folder / "run", source), folder)


def _predict(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["predict", *arguments])


def _expected(info: DataInfo, model: torch.nn.Module, rows: pa.Table) -> np.ndarray[Any, Any]:
    """What the trained model says of raw rows, by its own transforms."""
    assert isinstance(info.transforms, TableChain)
    with torch.no_grad():
        outputs: torch.Tensor = model(torch.from_numpy(info.transforms.apply(rows)))
    return np.asarray(outputs.softmax(1).numpy())


def _as_csv(rows: pa.Table, path: Path) -> None:
    arrow_csv.write_csv(rows, path)


def _as_lines(rows: pa.Table, path: Path) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows.to_pylist()))


@pytest.mark.parametrize(
    ("name", "write"), [("r.csv", _as_csv), ("r.parquet", parquet.write_table), ("r.jsonl", _as_lines)]
)
def test_predictions_are_the_trained_models_own_in_every_format(
    name: str,
    write: Callable[[pa.Table, Path], None],
    homes: Homes,
    tmp_path: Path,
) -> None:
    folder, info, model, _ = homes
    rows = _rows().drop_columns(["fit"]).select(["zip", "floors", "built", "new", "town", "size"])
    write(rows, tmp_path / name)
    out = tmp_path / "out.parquet"
    result = _predict(folder, str(tmp_path / name), "-o", str(out))
    assert result.exit_code == 0, result.output
    said = parquet.read_table(out)
    expected = _expected(info, model, rows)
    assert info.classes is not None
    assert said.column_names == ["label", *(f"probability.{one}" for one in info.classes)]
    found = np.stack([said[f"probability.{one}"].to_numpy() for one in info.classes], axis=1)
    assert np.allclose(found, expected, atol=1e-6)
    assert said["label"].to_pylist() == [info.classes[index] for index in expected.argmax(axis=1)]


def test_missing_values_and_unseen_categories_are_taken_as_in_training(homes: Homes, tmp_path: Path) -> None:
    folder, info, model, _ = homes
    path = tmp_path / "odd.csv"
    header = "size,town,zip,new,floors,built\n"
    path.write_text(header + ",nowhere,00007,,,\nNA,,99999,TRUE,2,1999-12-31\n1e9, Kobe ,7,false,-3,1970-01-01\n")
    result = _predict(folder, str(path))
    assert result.exit_code == 0, result.output
    read = pa.table(
        {
            "size": pa.array([None, None, 1e9]),
            "town": ["nowhere", None, "Kobe"],
            "zip": ["00007", "99999", "7"],
            "new": [None, True, False],
            "floors": [None, 2, -3],
            "built": pa.array([None, datetime.date(1999, 12, 31), datetime.date(1970, 1, 1)]).cast(pa.timestamp("us")),
        }
    )
    said = list(csv.reader(io.StringIO(result.stdout)))
    assert [float(value) for value in said[2][1:]] == pytest.approx(_expected(info, model, read)[1].tolist(), abs=1e-6)
    assert len(said) == 4


@pytest.fixture(scope="module")
def invoices(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, TableChain]:
    """A model of a file as a spreadsheet of Central Europe writes it."""
    folder, draw = tmp_path_factory.mktemp("invoices"), random.Random(5)  # noqa: S311 - no secret
    lines = ["betrag;fällig;bezahlt"]
    for index in range(80):
        euros, cents = divmod(draw.randint(100_000, 999_999), 100)
        amount = f"{euros // 1000}.{euros % 1000:03},{cents:02}"
        lines.append(f"{amount};{draw.randint(1, 28):02}/{draw.randint(1, 12):02}/2023;{'ja' if index % 3 else 'nein'}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    home, info, _ = exported(folder / "run", {"source": {"uri": str(folder / "rows.csv")}, "target": "bezahlt"})
    assert isinstance(info.transforms, TableChain)
    assert [one.kind for one in info.transforms.transforms] == ["number", "time"]
    return home, info.transforms


@pytest.mark.parametrize(
    ("text", "amount", "day"),
    [
        # Of this file alone, 2.345 is a number below 3, and the second of January may be the first of February.
        ("betrag;fällig\n2.345;02/01/2024\n", 2345.0, (2024, 1, 2)),
        ("betrag;fällig\n2.345,50;02/01/2024\n", 2345.5, (2024, 1, 2)),
        # What is written as programs do is plainly that.
        ("betrag;fällig\n2.5;2024-01-02\n", 2.5, (2024, 1, 2)),
    ],
)
def test_numbers_and_dates_of_few_rows_are_read_as_those_of_the_training(
    text: str, amount: float, day: tuple[int, int, int], invoices: tuple[str, TableChain], tmp_path: Path
) -> None:
    home, _ = invoices
    (tmp_path / "one.csv").write_text(text)
    plain = pa.table({"betrag": [amount], "fällig": pa.array([datetime.datetime(*day)], pa.timestamp("us"))})  # noqa: DTZ001
    parquet.write_table(plain, tmp_path / "one.parquet")
    said, same = (_predict(home, str(tmp_path / name)) for name in ("one.csv", "one.parquet"))
    assert said.exit_code == 0, said.output
    assert said.stdout == same.stdout


def test_a_date_with_the_month_first_is_none_for_a_model_of_dates_with_the_day_first(
    invoices: tuple[str, TableChain], tmp_path: Path
) -> None:
    (tmp_path / "one.csv").write_text("betrag;fällig\n1,5;01/13/2024\n")
    said = _predict(invoices[0], str(tmp_path / "one.csv"))
    assert said.exit_code == 1
    assert "column 'fällig'" in said.output
    assert "is '01/13/2024' in row 1" in said.output


def test_json_lines_hold_the_probabilities_of_a_row_as_one_object(homes: Homes, tmp_path: Path) -> None:
    folder, info, _, data = homes
    result = _predict(folder, str(data / "rows.parquet"), "-o", str(tmp_path / "o.jsonl"))
    assert result.exit_code == 0, result.output
    first = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])
    assert info.classes is not None
    assert set(first["probabilities"]) == set(info.classes)
    assert first["label"] == max(first["probabilities"], key=first["probabilities"].get)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "size,town,zip,new,built\n1,a,2,true,1970-01-01\n",
            "has no column 'floors', which the model takes; it has 'size', 'town'",
        ),
        ("size,town,zip,new,built,floor\n1,a,2,true,1970-01-01,1\n", "has no column 'floors', which the model takes"),
        (
            "size,town,zip,new,built,floors\n1,a,2,true,1970-01-01,1\n2,b,3,true,1970-01-01,many\n",
            "column 'floors' of {path} is 'many' in row 2, but the model was trained with values of the kind number",
        ),
        ("size,town,zip,new,built,floors\n1,a,2,maybe,1970-01-01,1\n", "column 'new' of {path} is 'maybe' in row 1"),
        ("size,town,zip,new,floors,built\n", "holds no rows"),
        ("size,town,zip,new,built,floors\n1,a,2,true,soon,1\n", "column 'built' of {path} is 'soon' in row 1"),
        ("size,town,zip,new,floors,built\n1,a\n", "is no valid csv file"),
    ],
)
def test_rows_that_the_model_cannot_take_are_refused_by_name(
    text: str, told: str, homes: Homes, tmp_path: Path
) -> None:
    path, out = tmp_path / "bad.csv", tmp_path / "out.csv"
    path.write_text(text)
    out.write_text("of yesterday")
    result = _predict(homes[0], str(path), "-o", str(out))
    assert result.exit_code == 1
    assert told.format(path=path) in result.output
    assert result.output.count("\n") == 1
    assert out.read_text() == "of yesterday"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bad.csv", "out.csv"]


def test_an_array_model_takes_npz_files_and_gives_values_in_their_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 5)).astype(np.float32)
    y = 1e6 + 1000 * x[:, 0]
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    folder, info, model = exported(tmp_path / "run", {"source": {"uri": str(tmp_path / "rows.npz")}})
    x[3, 2] = np.nan
    np.savez(tmp_path / "new.npz", x=x)
    out = tmp_path / "o.parquet"
    result = _predict(folder, str(tmp_path / "new.npz"), "-o", str(out))
    assert result.exit_code == 0, result.output
    (values,) = parquet.read_table(out).columns
    assert info.transforms is not None
    with torch.no_grad():
        outputs = model(torch.from_numpy(info.transforms.apply(x)))[:, 0].double().numpy()
    assert values.type == pa.float64()
    assert np.allclose(values.to_numpy(), outputs * info.target_std[0] + info.target_mean[0], rtol=1e-9, atol=1e-3)
    assert 0.99e6 < values.to_numpy().mean() < 1.01e6
    np.savez(tmp_path / "other.npz", a=x[:, :3])
    refused = _predict(folder, str(tmp_path / "other.npz"))
    assert "holds a (90, 3); the model takes numbers of shape ('N', 5)" in refused.output
    (tmp_path / "t.csv").write_text("a\n1\n")
    assert "this model takes an array of an npz file" in _predict(folder, str(tmp_path / "t.csv")).output


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, DataInfo, torch.nn.Module, Path]:
    """A model of images in colour, some of which are grey or of another size."""
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / "train" / name).mkdir(parents=True)
        for number in range(20):
            pixels = draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "train" / name / f"{number:02}.png")
    source = {"source": {"uri": str(folder / "train")}}
    return (*exported(folder / "run", source), folder)


def test_a_model_of_images_takes_a_folder_of_them_resized_and_in_colour_as_in_training(
    pictures: tuple[str, DataInfo, torch.nn.Module, Path], tmp_path: Path
) -> None:
    run, info, model, _ = pictures
    draw = np.random.default_rng(1)
    images = {
        "a.png": Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)),
        "deeper/b.png": Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)),
        "grey.png": Image.fromarray(draw.integers(0, 256, (6, 8), dtype=np.uint8)),
    }
    (tmp_path / "new/deeper").mkdir(parents=True)
    for name, image in images.items():
        image.save(tmp_path / "new" / name)
    (tmp_path / "new/labels.csv").write_text("file,label\na.png,cat\n")  # as beside the images of a training
    answer = _predict(run, str(tmp_path / "new"), "-o", str(tmp_path / "said.jsonl"))
    assert answer.exit_code == 0, answer.output
    said = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert [one["file"] for one in said] == ["a.png", "deeper/b.png", "grey.png"]
    colour = [np.asarray(images["a.png"]), resized(np.asarray(images["deeper/b.png"]), 6, 8)]
    x = np.stack([*colour, np.asarray(images["grey.png"].convert("RGB"))]).transpose(0, 3, 1, 2)
    assert isinstance(info.transforms, ArrayChain)
    with torch.no_grad():
        expected = model(torch.from_numpy(info.transforms.apply(x))).softmax(1).numpy()
    assert np.array([[one["probabilities"][name] for name in ("cat", "dog")] for one in said]) == pytest.approx(
        expected, abs=1e-5
    )
    assert [one["label"] for one in said] == [("cat", "dog")[index] for index in expected.argmax(1)]
    one = _predict(run, str(tmp_path / "new/a.png"))
    assert one.output.splitlines()[1].startswith('"a.png","')


def test_what_is_no_image_that_the_model_can_take_is_named(
    pictures: tuple[str, DataInfo, torch.nn.Module, Path], tmp_path: Path
) -> None:
    run, _, _, folder = pictures
    (tmp_path / "broken.png").write_bytes(b"none")
    assert "broken.png is no image that can be read" in _predict(run, str(tmp_path / "broken.png")).output
    Image.fromarray(np.zeros((6, 8), np.uint16)).save(tmp_path / "deep.png")
    assert "deep.png has 16 bits a pixel" in _predict(run, str(tmp_path / "deep.png")).output
    for number in range(8):
        (tmp_path / f"grey/{number % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8), number * 20, np.uint8)).save(tmp_path / f"grey/{number % 2}/{number}.png")
    grey, _, _ = exported(tmp_path / "run", {"source": {"uri": str(tmp_path / "grey")}})
    assert "is in colour, but the model was trained on grey images" in _predict(grey, str(folder / "train")).output


def test_a_folder_that_is_no_model_or_was_altered_is_refused(homes: Homes, tmp_path: Path) -> None:
    rows = str(homes[3] / "rows.parquet")
    assert "holds no model.json: give the folder of a finished run" in _predict(str(tmp_path), rows).output
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in ("model.json", "model.onnx"):
        (copied / name).write_bytes((Path(homes[0]) / name).read_bytes())
    (copied / "model.onnx").write_bytes((copied / "model.onnx").read_bytes() + b"!")
    assert "is not what model.json tells of" in _predict(str(copied), rows).output
    told = json.loads((copied / "model.json").read_text())
    del told["files"]["onnx"]
    (copied / "model.json").write_text(json.dumps(told))
    assert (
        "holds no model.onnx: report.md there says why it could not be exported, unless"
        in _predict(str(copied), rows).output
    )
    (copied / "model.json").write_text("{}nothing")
    assert "is not what this version of Headway reads" in _predict(str(copied), rows).output


def test_the_answer_never_takes_the_place_of_the_rows_and_has_a_known_ending(homes: Homes, tmp_path: Path) -> None:
    rows = str(homes[3] / "rows.parquet")
    assert "choose another" in _predict(homes[0], rows, "-o", rows).output
    assert "must end with .csv, .jsonl, .parquet" in _predict(homes[0], rows, "-o", str(tmp_path / "o.xlsx")).output


def test_it_needs_neither_torch_nor_ray(homes: Homes) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'ray', 'onnx', 'sklearn', 'torchmetrics'): sys.modules[name] = None\n"
        "from headway_cli.main import main\n"
        f"main(['predict', {homes[0]!r}, {str(homes[3] / 'rows.parquet')!r}], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 241


def test_rows_are_read_and_told_block_by_block(homes: Homes, tmp_path: Path) -> None:
    rows = pa.concat_tables([_rows()] * 50)
    parquet.write_table(rows, tmp_path / "many.parquet")
    out = tmp_path / "o.csv"
    assert _predict(homes[0], str(tmp_path / "many.parquet"), "-o", str(out)).exit_code == 0
    lines = out.read_text().splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[1:241] == lines[-240:]


Forecast = tuple[str, DataInfo, torch.nn.Module, pa.Table]
"""As Homes, with the rows themselves."""


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> Forecast:
    """A finished forecast of the next three days of two shops."""
    folder, table = tmp_path_factory.mktemp("forecast"), sales([60, 45])
    parquet.write_table(table, folder / "sales.parquet")
    spec = spec_of(folder / "sales.parquet", 14, 3, target=None, targets=["sold", "visitors"])
    return *exported(folder / "out", spec.model_dump(mode="json", by_alias=True, exclude_none=True)), table


def test_a_forecast_goes_on_from_the_end_of_each_series_as_the_trained_model_says(
    forecast: Forecast, tmp_path: Path
) -> None:
    home, info, model, table = forecast
    # Long ago is not needed; the order of rows does not matter; the shops end on other days.
    arrow_csv.write_csv(table, tmp_path / "rows.csv")
    done = _predict(home, str(tmp_path / "rows.csv"))
    assert done.exit_code == 0, done.output
    said = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(said[0]) == ["day", "shop", "sold", "visitors"]
    assert info.transforms is not None
    for shop, length in (("shop 0", 60), ("shop 1", 45)):
        lines = [line for line in said if line["shop"] == shop]
        days = [FIRST_DAY + datetime.timedelta(days=length + ahead) for ahead in range(3)]
        assert [line["day"] for line in lines] == [f"{day:%Y-%m-%d}" for day in days]
        rows = table.filter(pa.compute.equal(table["shop"], shop)).sort_by("day").slice(length - 14)
        with torch.no_grad():
            outputs = model(torch.from_numpy(info.transforms.apply(rows)).unsqueeze(0)).double().numpy()
        values = outputs.reshape(3, 2) * info.target_std + info.target_mean
        assert np.allclose([[float(line["sold"]), float(line["visitors"])] for line in lines], values, rtol=1e-5)


def test_forecasts_are_written_as_lines_of_json_with_times_as_text(forecast: Forecast, tmp_path: Path) -> None:
    home, *_, table = forecast
    parquet.write_table(table, tmp_path / "rows.parquet")
    done = _predict(home, str(tmp_path / "rows.parquet"), "-o", str(tmp_path / "next.jsonl"))
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "next.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert set(lines[0]) == {"day", "shop", "sold", "visitors"}
    assert datetime.date.fromisoformat(lines[0]["day"])


def test_lines_of_json_know_no_classes_where_a_column_called_label_names_series_and_no_number_that_is_none() -> None:
    said = pa.table({"day": ["2024-01-01"], "label": ["shop 0"], "sold": [float("nan")]})
    stream = io.BytesIO()
    WRITERS[".jsonl"](said, iter(()), stream)
    assert json.loads(stream.getvalue(), parse_constant=pytest.fail) == {
        "day": "2024-01-01",
        "label": "shop 0",
        "sold": None,
    }


def _emptied(table: pa.Table, name: str) -> pa.Table:
    """Without the value of the last day."""
    table = table.sort_by("day")
    values = pa.array([*table[name].to_pylist()[:-1], None], pa.float64())
    return table.set_column(table.column_names.index(name), name, values)


def _without_a_day(table: pa.Table) -> pa.Table:
    """Without a row of the last two weeks of a shop."""
    shop = table.filter(pa.compute.equal(table["shop"], "shop 0")).sort_by("day")
    return pa.concat_tables([shop.slice(0, 55), shop.slice(56)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.sort_by("day").slice(0, 20), ["the series 'shop", "the model sees 14 steps of 1 day"]),
        (lambda table: table.drop_columns(["visitors"]), ["visitors"]),
        (lambda table: pa.concat_tables([table, table.slice(3, 1)]), ["'day' is", "a series has one row a time"]),
        (lambda table: _emptied(table, "sold"), ["'sold' is empty in row", "which the model sees"]),
        (_without_a_day, ["14 steps of 1 day", "without a gap, of 59"]),
    ],
)
def test_series_that_the_model_cannot_go_on_from_end_the_command_with_a_sentence(
    change: Callable[[pa.Table], pa.Table], words: list[str], forecast: Forecast, tmp_path: Path
) -> None:
    home, *_, table = forecast
    parquet.write_table(change(table), tmp_path / "rows.parquet")
    done = _predict(home, str(tmp_path / "rows.parquet"))
    assert done.exit_code == 1
    assert not [each for each in words if each not in done.output], done.output


def test_what_classes_are_called_does_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"label": ["\x1b]0;owned\x07", "h\u00e9", "\u202ex"], "probability.a": [0.5, 0.25, 0.125]})
    stream = cast("BinaryIO", Steady(sys.stdout))
    WRITERS[".csv"](table.slice(0, 1), iter([table.slice(1)]), stream)
    WRITERS[".jsonl"](table.slice(0, 1), iter([]), stream)
    told = capsys.readouterr().out
    assert told.splitlines()[1:4] == ['"\\u001b]0;owned\\u0007",0.5', '"h\u00e9",0.25', '"\\u202ex",0.125']
    assert json.loads(told.splitlines()[4])["label"] == "\x1b]0;owned\x07"


def test_a_character_that_comes_in_two_pieces_is_one() -> None:
    shown = io.StringIO()
    stream = Steady(shown)
    for byte in "a\u00e9\u20ac\x9b\t1\n".encode():
        stream.write(bytes([byte]))
    assert shown.getvalue() == "a\u00e9\u20ac\\u009b\t1\n"
