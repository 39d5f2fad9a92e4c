"""The fit of a member to all rows of the training part, and its graph compared with it."""

from __future__ import annotations

import io

import numpy as np
import threadpoolctl
import torch

from headway_api.base import StatusSection
from headway_api.bundle import Parity
from headway_api.model import parse_options
from headway_api.training import Training
from headway_trainer.data import read_split
from headway_trainer.data.batches import Feed
from headway_trainer.data.info import SPLITS, Split
from headway_trainer.data.read.memory import check_memory
from headway_trainer.data.sample import read_sample, with_made_rows
from headway_trainer.data.shards import read_weights
from headway_trainer.errors import UserError
from headway_trainer.estimators.base import Place
from headway_trainer.estimators.form import Form, Linear
from headway_trainer.estimators.iterations import Course, Iterative, Part
from headway_trainer.estimators.member import Features, Member
from headway_trainer.estimators.package_member import PackageMember
from headway_trainer.kept_results import digest_of
from headway_trainer.registry import MODELS
from headway_trainer.tasks.balance import train_weights
from headway_trainer.training.checkpoints.store import BODY_FILE
from headway_trainer.training.history import thinned
from headway_trainer.training.process_group import Alone

SAYS_FILE = "says.npy"
"""What the member says of the sample's rows, float64: probabilities, or standardised values."""
FIT_FILE = "fit.json"
COMPARED_ROWS = 20_000
"""Of each part, about so many rows are given to both models."""
MOST_IMAGE_FEATURES = 16_384
"""An image of more numbers is none that trees or a linear model learn much from."""
REMEDY = "look for extreme values in the data"


class Fit(StatusSection):
    """What is kept beside the fitted model."""

    digest: str
    """Identifies what was fitted to what."""
    iterations: int
    """Iterations of the fit; 0 for one that has none to count."""
    parameters: int | None
    """The weights of a linear model; none for trees."""
    notes: list[str]
    """What people should know."""
    course: Course | None = None
    """Of one that goes iteration by iteration, how it went."""


def build_member(place: Place) -> Member:
    """The job's model, not fitted yet. Raises UserError for images that are too large for it."""
    spec = place.run.spec
    assert spec.model is not None  # noqa: S101 - its name has led here
    name = spec.model.name or ""
    if len(place.info.input_shape) > 1 and place.info.features > MOST_IMAGE_FEATURES:
        shape = " x ".join(str(side) for side in place.info.input_shape)
        raise UserError(
            f"model.name {name} takes each of an image's numbers for a feature, at most {MOST_IMAGE_FEATURES:,} of "
            f"them, and an image of this data has {shape}: set model.name to cnn, or give smaller images"
        )
    if name not in MODELS.own:
        return PackageMember(name, spec.model.options, place.info, seed=spec.seed, threads=place.threads)
    member: Member = MODELS.of(name)(
        place.info, parse_options(name, spec.model.options), seed=spec.seed, threads=place.threads
    )
    return member


def digest(place: Place) -> str:
    """Identifies a fit: the model, its options and seed, the rows, and the version of another package."""
    spec, info = place.run.spec, place.info
    weights = (spec.training or Training()).class_weights
    name = spec.model.name if spec.model is not None else None
    version = [] if name is None or name in MODELS.own else [MODELS.version(name)]
    return digest_of(spec.model or "", spec.seed, weights, info.digest, info.content_hash, *version)


def fitted(place: Place, member: Member) -> tuple[Fit, dict[str, bytes]]:
    """Fit a member to all training rows, and compare the graph with it; what is to be kept, by file.

    Raises UserError where the memory would not do for it.
    """
    from headway_trainer.export.estimator_body import BodyModule, body_of

    rows, features = place.info.rows["train"], place.info.features
    rows += place.info.rows["validation"] if isinstance(member, Iterative) else 0
    taken = member.memory(rows, features) + 4 * rows * features  # pages of the file are read into memory, too
    name = place.run.spec.model.name if place.run.spec.model else ""
    check_memory(
        taken,
        f"fitting {name} to {rows:,} rows of {features:,} features in one process",
        "raise workers.resources.memory, or give less data",
    )
    x, y = _features(place, "train"), read_split(place.rows, place.info, "train")[1]
    spec = place.run.spec.training or Training()
    weights = train_weights(spec, place.info, y, read_weights(place.rows, place.info, "train"), Alone())
    # Here, as the number of OpenMP's threads is that of the thread that sets it.
    with threadpoolctl.threadpool_limits(place.threads):
        form = member.fit(x, y.numpy(), None if weights is None else weights.numpy().astype(np.float64))
        body = body_of(form, place.info, name or "")
        notes = [*member.notes, *_compared(place, member, BodyModule(body, place.threads))]
        files = {BODY_FILE: body} | _says(place, member)
    fit = Fit(digest=digest(place), iterations=member.done, parameters=_parameters(form), notes=notes)
    if isinstance(member, Iterative):
        course = member.course.model_copy(update={"history": thinned(member.course.history)})
        fit = fit.model_copy(update={"course": course})
    return fit, files


def validation_part(place: Place) -> Part | None:
    """The rows of the validation part; none where it has none."""
    if not place.info.rows["validation"]:
        return None
    weights = read_weights(place.rows, place.info, "validation")
    y = read_split(place.rows, place.info, "validation")[1].numpy()
    return Part(_features(place, "validation"), y, None if weights is None else weights.numpy().astype(np.float64))


def _features(place: Place, split: Split, step: int = 1) -> Features:
    """The rows of a part, or each step-th of them, as features."""
    x = Feed(place.info, torch.device("cpu"))(read_split(place.rows, place.info, split)[0][::step])
    return np.ascontiguousarray(x.numpy().reshape(len(x), place.info.features))


def _says(place: Place, member: Member) -> dict[str, bytes]:
    """What the member says of the sample's rows: what the finished graph is compared with. A fold has no
    sample, as nothing of it is exported."""
    chain = place.info.transforms
    if chain is None or place.is_fold:
        return {}
    features = chain.apply(with_made_rows(read_sample(place.rows, chain), chain))
    stream = io.BytesIO()
    np.save(
        stream,
        member.outputs(np.ascontiguousarray(features.reshape(len(features), place.info.features))),
        allow_pickle=False,
    )
    return {SAYS_FILE: stream.getvalue()}


def _compared(place: Place, member: Member, module: torch.nn.Module) -> list[str]:
    """Both models on rows of all parts; a sentence where they name other classes. Raises RuntimeError for more, or
    UserError where the model is another package's.

    The graph adds up in 32 bits, and scikit-learn in 64: no row takes another way through a tree for that, but two
    classes that are equally likely but for the last bit may change places.
    """
    from headway_trainer.export.parity import difference

    rows, odd = 0, 0
    for split in SPLITS:
        x = _features(place, split, max(1, -(-place.info.rows[split] // COMPARED_ROWS)))
        if not len(x):
            continue
        with torch.inference_mode():
            outputs = module(torch.from_numpy(x.reshape(len(x), *place.info.input_shape))).double()
        found = outputs.softmax(dim=1) if place.info.classes is not None else outputs
        parity = difference(member.outputs(x), found.numpy(), classes=place.info.classes is not None)
        if not parity.holds:
            error = (
                RuntimeError if place.run.spec.model is None or place.run.spec.model.name in MODELS.own else UserError
            )
            raise error(_other(parity, split))
        rows, odd = rows + len(x), odd + round((1 - parity.agreement) * len(x))
    if not odd:
        return []
    return [
        f"Of {rows:,} rows, model.onnx names another class than the fitted model itself for {odd:,}: it computes in 32 "
        "bits, and for these two classes are as likely as each other."
    ]


def _other(parity: Parity, split: str) -> str:
    by = "something that is no number" if parity.max_difference is None else f"{parity.max_difference:.3g}"
    return f"the graph of the fitted model differs from what the model itself says by {by} on the {split} part"


def _parameters(form: object) -> int | None:
    linear = form.raw if isinstance(form, Form) else None
    return linear.weights.size + linear.bias.size if isinstance(linear, Linear) else None
