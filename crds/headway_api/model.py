"""`spec.model`: what is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from headway_api.base import Entrypoint, FreeForm, Rule, Section, exactly_one
from headway_api.catalogue import Catalogue, Named
from headway_api.metrics import CLASSIFICATION, NUMBERS, RECONSTRUCTION, REGRESSION, Task

Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
Width = Annotated[int, Field(ge=1, le=65536)]


class MlpOptions(Section):
    """Options of `mlp`: fully connected layers over flattened features."""

    rules = (
        Rule(
            cel="true",
            message="dropout is after each hidden layer, and hidden is empty: give it a width, or take dropout out",
            holds=lambda options: bool(options.hidden) or options.dropout == 0,
            field="dropout",
        ),
    )

    hidden: Annotated[list[Width], Field(max_length=64)] = Field(default=[128, 64])
    """The widths of the hidden layers."""
    dropout: Dropout = 0.0
    """The dropout rate after each hidden layer."""
    activation: Literal["relu", "gelu", "tanh", "silu"] = "relu"
    """The non-linearity."""


class CnnOptions(Section):
    """Options of `cnn`: convolution blocks with batch normalisation, then one hidden layer. For images."""

    channels: Annotated[list[Width], Field(min_length=1, max_length=16)] = Field(default=[32, 64])
    """The channels of each block; every block halves height and width while they are above 2."""
    hidden: Width = 128
    """The width of the layer before the output."""
    dropout: Dropout = 0.25
    """The dropout rate before the output."""


class LinearOptions(Section):
    """Options of `linear`: scikit-learn's Ridge for a regression, LogisticRegression for classes.

    Fitted without epochs, on the CPU of one process.
    """

    alpha: Annotated[float, Field(ge=1e-6, le=1e9)] = 1.0
    """The strength of the L2 penalty: `alpha` of Ridge, `1 / C` of LogisticRegression."""
    max_iterations: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """The most iterations of the solver for classes; a regression is solved at once."""


Leaf = Annotated[int, Field(ge=1, le=1_000_000_000)]
Depth = Annotated[int, Field(ge=1, le=1000)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class RandomForestOptions(Section):
    """Options of `randomForest`: scikit-learn's RandomForestRegressor or RandomForestClassifier.

    Fitted without epochs, on the CPU of one process.
    """

    trees: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many trees."""
    max_depth: Depth | None = None
    """How deep a tree may be; as deep as its rows allow if absent."""
    min_leaf_rows: Leaf = 1
    """The fewest rows of a leaf."""
    max_features: Share | None = None
    """The share of the features that each split chooses from; if absent the square root of their number for classes,
    and all for a regression."""
    max_rows: Share = 1.0
    """How many rows are drawn, with replacement, for each tree: a share of the training rows."""


class GradientBoostingOptions(Section):
    """Options of `gradientBoosting`: scikit-learn's HistGradientBoostingRegressor or HistGradientBoostingClassifier.

    Fitted without epochs, on the CPU of one process. Each iteration adds one tree, or one for each class where there
    are more than two; several targets are learnt one after the other.
    """

    iterations: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many iterations."""
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] = 0.1
    """How much of each tree is added."""
    max_leaves: Annotated[int, Field(ge=2, le=1_000_000)] = 31
    """The most leaves of a tree."""
    max_depth: Depth | None = None
    """How deep a tree may be; no bound of its own if absent."""
    min_leaf_rows: Leaf = 20
    """The fewest rows of a leaf."""
    l2: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    """The L2 penalty of a leaf's value."""
    max_bins: Annotated[int, Field(ge=2, le=255)] = 255
    """How many groups of values of a feature the splits choose between."""
    max_features: Share = 1.0
    """The share of the features that each split chooses from."""


class XGBoostOptions(Section):
    """Options of `xgboost`: XGBoost's trees by histograms (`gbtree`, `hist`; Chen and Guestrin, 2016).

    Fitted without epochs, on the CPU of one process. Each iteration adds a tree for each target, or for each class
    where there are more than two. Each option says which of XGBoost's parameters it is; what is not given is as
    XGBoost has it.
    """

    rules = (
        Rule(
            cel="true",
            message="maxDepth 0 is no bound, and without maxLeaves a tree has none: write maxLeaves, or a maxDepth",
            holds=lambda options: options.max_depth > 0 or options.max_leaves is not None,
            field="maxDepth",
        ),
    )

    iterations: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many iterations at most: `num_boost_round`."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """How much of each tree is added: `eta`."""
    max_depth: Annotated[int, Field(ge=0, le=30)] = 6
    """How deep a tree may be; 0 for no bound but `maxLeaves`."""
    max_leaves: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """The most leaves of a tree; no bound of its own if absent."""
    grow_policy: Literal["depthwise", "lossguide"] = "depthwise"
    """Whether level by level, or where the loss falls most."""
    min_child_weight: Annotated[float, Field(ge=0.0, le=1e9)] = 1.0
    """The least sum of second derivatives of a leaf: of a regression its rows, or their weights."""
    gamma: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    """The least fall of the loss that a split is worth."""
    max_delta_step: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    """The most that a leaf may add; 0 for no bound."""
    l2: Annotated[float, Field(ge=0.0, le=1e9)] = 1.0
    """The L2 penalty of a leaf's value: `lambda`."""
    l1: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    """The L1 penalty of a leaf's value: `alpha`."""
    subsample: Share = 1.0
    """The share of the rows that each tree is grown from."""
    colsample_by_tree: Share = 1.0
    """The share of the features that each tree is grown from: `colsample_bytree`."""
    colsample_by_level: Share = 1.0
    """Of those, the share that each level chooses from: `colsample_bylevel`."""
    colsample_by_node: Share = 1.0
    """Of those, the share that each split chooses from: `colsample_bynode`."""
    max_bins: Annotated[int, Field(ge=2, le=4096)] = 256
    """How many groups of values of a feature the splits choose between: `max_bin`."""
    early_stopping_rounds: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """After how many iterations without a lower loss of the validation part the fit ends.

    The model then has the iterations up to the lowest one. Without it all iterations are done, and kept.
    """


class GruOptions(Section):
    """Options of `gru`: a recurrent network over the steps of a series, whose last state makes the outputs."""

    hidden: Width = 64
    """The width of the state."""
    layers: Annotated[int, Field(ge=1, le=16)] = 1
    """How many recurrent layers lie on each other."""
    dropout: Dropout = 0.0
    """The dropout rate between the layers, and before the output."""


class TokenOptions(Section):
    """How a model that takes texts reads them: as sequences of tokens, each a number of a vocabulary."""

    tokens: Literal["word", "character"] = "word"
    """What a token is: a word, or a single character for languages that put no spaces between words.

    Words end at white space and punctuation. `great`, `Great` and `GREAT` are one word; another mixture of cases is
    known where the training rows have it.
    """
    length: Annotated[int, Field(ge=1, le=4096)] = 256
    """The tokens of a text that are read, from its beginning; the others are cut off."""
    vocabulary: Annotated[int, Field(ge=1, le=100_000)] = 20_000
    """The tokens that are known at most: the most frequent ones of the training rows.

    All others are one unknown token.
    """


class LstmOptions(TokenOptions):
    """Options of `lstm`: long short-term memory over each text's tokens, averaged over them. For tables with text."""

    embedding: Width = 64
    """The numbers that stand for a token."""
    hidden: Width = 64
    """The width of the recurrent layers, in each direction."""
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    """The recurrent layers."""
    bidirectional: bool = True
    """Whether texts are read from their end, too."""
    dropout: Dropout = 0.3
    """The dropout rate after the embedding, between layers and before the output."""


class TransformerOptions(TokenOptions):
    """Options of `transformer`: an encoder with self-attention over each text's tokens, averaged over them.

    For tables with text.
    """

    width: Width = 64
    """The numbers that stand for a token, in each layer: a multiple of `heads`."""
    heads: Annotated[int, Field(ge=1, le=64)] = 4
    """The attention heads of a layer; each has an equal share of the width."""
    layers: Annotated[int, Field(ge=1, le=24)] = 2
    """The layers."""
    hidden: Width = 128
    """The width within each layer's feed-forward part."""
    dropout: Dropout = 0.1
    """The dropout rate after the embedding, within the layers and before the output."""


class AutoencoderOptions(Section):
    """Options of `autoencoder`: fully connected layers to a few numbers, and back to the row."""

    rules = (
        Rule(
            cel="true",
            message="beta is for variational: set variational to true, or take beta out",
            holds=lambda options: options.variational or "beta" not in options.model_fields_set,
            field="beta",
        ),
    )

    hidden: Annotated[list[Width], Field(max_length=64)] = Field(default=[64])
    """The widths of the encoder's hidden layers; the decoder has them in reverse order."""
    latent: Width = 8
    """The numbers that a row is described by in between: fewer than it has, or nothing need be learnt."""
    activation: Literal["relu", "gelu", "tanh", "silu"] = "relu"
    """The non-linearity."""
    variational: bool = False
    """Whether the encoder gives a distribution (Kingma and Welling, 2014), held to a normal one in training."""
    beta: Annotated[float, Field(ge=0.0)] = 1.0
    """How much that counts; only with `variational`."""


Rows = Literal["table", "image", "series", "tokens"]
"""What a row of the data is: a list of features; an array of channels, height and width; of steps and features; or the
tokens of at least one text, beside the features of other columns."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model, Headway's own or another package's, without building it."""

    takes: frozenset[Rows]
    """The rows that it can be given."""
    tasks: frozenset[Task]
    """What it can learn."""
    estimator: bool
    """Whether an estimator fits it, and not the training loop."""


@dataclass(frozen=True)
class ModelEntry(ModelFacts):
    """What is known of one of Headway's models."""

    options: type[Section]
    """What `spec.model.options` takes."""
    fitted_by: str = ""
    """The library whose estimator fits it; empty where the training loop does."""


def _network(options: type[Section], takes: set[Rows], tasks: frozenset[Task]) -> ModelEntry:
    return ModelEntry(frozenset(takes), tasks, estimator=False, options=options)


def _estimator(options: type[Section], fitted_by: str = "scikit-learn") -> ModelEntry:
    takes: frozenset[Rows] = frozenset({"table", "image"})
    return ModelEntry(takes, CLASSIFICATION | REGRESSION, estimator=True, options=options, fitted_by=fitted_by)


MODELS: Catalogue[ModelEntry] = Catalogue(
    {
        "mlp": _network(MlpOptions, {"table", "image", "series"}, CLASSIFICATION | NUMBERS),
        "cnn": _network(CnnOptions, {"image"}, CLASSIFICATION | REGRESSION),
        "gru": _network(GruOptions, {"series"}, CLASSIFICATION | NUMBERS),
        "linear": _estimator(LinearOptions),
        "randomForest": _estimator(RandomForestOptions),
        "gradientBoosting": _estimator(GradientBoostingOptions),
        "xgboost": _estimator(XGBoostOptions, "XGBoost"),
        "lstm": _network(LstmOptions, {"tokens"}, CLASSIFICATION | REGRESSION),
        "transformer": _network(TransformerOptions, {"tokens"}, CLASSIFICATION | REGRESSION),
        "autoencoder": _network(AutoencoderOptions, {"table", "image"}, RECONSTRUCTION),
    }
)
"""The models of Headway."""


def parse_options(name: str, options: dict[str, JsonValue]) -> Section:
    """The typed options of one of Headway's models. Raises pydantic's ValidationError."""
    return TypeAdapter(MODELS[name].options).validate_python(options)


def tokens_of(model: Model | None) -> TokenOptions | None:
    """How texts become tokens for a model; None for one that does not take tokens.

    Raises pydantic's ValidationError.
    """
    entry = MODELS.get(model.name or "") if model is not None else None
    if model is None or entry is None or "tokens" not in entry.takes:
        return None
    given = parse_options(model.name or "", model.options)
    return TokenOptions.model_validate({name: getattr(given, name) for name in TokenOptions.model_fields})


def _options_fit(model: Model) -> bool:
    if model.name is None or model.name not in MODELS:
        return True
    try:
        parse_options(model.name, model.options)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(("options", *(str(part) for part in first["loc"])))
        raise PydanticCustomError(
            "rule",
            "{reason}",
            {"reason": f"{path} of {model.name}: {first['msg']}", "field": "options", "errors": error.errors()},
        ) from None
    return True


class Model(Section):
    """The model: one of the registry by name, or what the user's own function builds."""

    rules = (
        exactly_one("name", "entrypoint", of="model"),
        # The options of the models differ, so the schema leaves them open and only Python can judge them.
        Rule(cel="true", message="options must fit the model", holds=_options_fit, field="options"),
    )

    name: Annotated[str, Named(MODELS, open=True)] | None = None
    """A model of Headway, or of another Python package in the image, as `package.name`."""
    entrypoint: Entrypoint | None = None
    """`module:function`, called as `function(info, **options)`; returns a `torch.nn.Module`."""
    options: FreeForm = Field(default_factory=dict)
    """The model's options."""


def estimator_of(model: Model | None, models: Mapping[str, ModelFacts] = MODELS) -> str | None:
    """The model's name, where an estimator fits it and not the training loop; else none. models: those that are known;
    of a name that is none of them nobody knows it here."""
    name = model.name if model is not None else None
    return name if name is not None and name in models and models[name].estimator else None


def fitted_by(name: str) -> str:
    """Who fits a model that an estimator fits: a library, or another package's estimator."""
    return MODELS[name].fitted_by if name in MODELS else "an estimator of its package"
