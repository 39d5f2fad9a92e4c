"""What the status says of drift: the judge's word about the version that answers, as long as it goes on to say it.

Nothing is done about it but telling. A word that is of another deployment or version, that is old or cannot be read,
is none: then nobody can tell, which is neither a drift nor its absence.
"""

from __future__ import annotations

from headway_api.deployment_status import DeploymentCondition, DriftStatus, Version
from headway_api.drift_wire import DRIFT_BEAT_SECONDS, DriftedFeature, DriftWord, QualityProblem, Watch
from headway_api.wording import listed, printable
from headway_operator.engine.steps import Notice
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_seconds
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import Next, Situation

FRESH_SECONDS = 3 * DRIFT_BEAT_SECONDS
"""A word that was not renewed for so long is none."""
TURN_SECONDS = 60.0
"""What was said last stays so long before the opposite is said: windows may end each second."""
_PROBLEMS = {"Missing": "missing", "Unseen": "unseen in training", "OutOfRange": "out of the range of training"}
Said = tuple[str, str, str]
"""A condition's status, reason and message."""


def watch(situation: Situation, book: Book) -> Watch | None:
    """What the judge is to be told; None: nothing is watched. Without a spec to go by it stays as it is."""
    spec, champion = situation.spec, book.champion
    if spec is None:
        return situation.rollout.watch if situation.rollout is not None else None
    if spec.monitoring is None or champion is None:
        return None
    drift = spec.monitoring.drift
    return Watch(
        uid=situation.uid,
        version=champion.number,
        sample=drift.sample,
        rows=drift.window.rows,
        seconds=drift.window.seconds or 0,
        alpha=drift.alpha,
        min_effect=drift.min_effect,
        of=drift.persist.of,
        need=drift.persist.need,
    )


def follow(situation: Situation, book: Book) -> Next:
    """Say what the judge has found; when to look again if nothing is heard of until then."""
    champion, told = book.champion, watch(situation, book)
    before = next((each for each in situation.status.conditions if each.type == "Drifted"), None)
    if told is None or champion is None:
        book.drift, book.drifted = None, None
        return Next()
    same = book.drift is not None and book.drift.version == champion.name
    kept = (before.status, before.reason, before.message) if before is not None and same else None
    word, over = _heard(situation, champion)
    if word is None and over is not None and kept is not None:
        # An operator that has just begun cannot tell how old the last word is: what was said stands until it can.
        book.drifted = kept
        return Next(wake=over + 1.0)
    if word is None:
        return _unknown(situation, book, champion, before)
    said = _said(word, champion)
    since = to_seconds(before.last_transition_time) if before is not None else None
    if kept is not None and since is not None and _turns(kept, said) and situation.now < since + TURN_SECONDS:
        book.drifted = kept
        return Next(wake=since + TURN_SECONDS)
    book.drift, book.drifted = _status(word, champion, said[2]), said
    _tell(situation, book, before, said)
    heard = situation.rollout.drift_heard if situation.rollout is not None else 0.0
    return Next(wake=heard + FRESH_SECONDS + 1.0)


def _heard(situation: Situation, champion: Version) -> tuple[DriftWord | None, float | None]:
    """The judge's word about the version that answers, if it is new enough; else when one of unknown age is none."""
    record = situation.rollout
    word = record.drift if record is not None else None
    if record is None or word is None or word.uid != situation.uid or word.version != champion.number:
        return None, None
    if not record.drift_heard:
        over = record.seen + FRESH_SECONDS
        return None, over if situation.now <= over else None
    return (word, None) if situation.now <= record.drift_heard + FRESH_SECONDS else (None, None)


def _unknown(situation: Situation, book: Book, champion: Version, before: DeploymentCondition | None) -> Next:
    """Nobody says anything: as it has just begun, as the pods cannot, or as the judge is not heard."""
    workload = situation.workloads.get(champion.number)
    since = to_seconds(before.last_transition_time) if before is not None and before.status == "Unknown" else None
    began = max(since if since is not None else situation.now, to_seconds(champion.since) or 0.0)
    late = situation.now > began + FRESH_SECONDS
    was_told = book.drift is not None and book.drift.version == champion.name and book.drift.state != "Insufficient"
    if workload is not None and not workload.reports:
        reason = "NotReporting"
        says = f"the pods of version {champion.name} were made by an older Headway, and report nothing: the next"
        says += " version's do"
    elif late or was_told:
        reason = "NotHeard"
        says = f"the judge has told nothing of version {champion.name} for {FRESH_SECONDS:.0f} s: is its pod ready?"
    else:
        reason, says = "Starting", f"requests of version {champion.name} are counted from now on"
    state = "Insufficient" if reason == "Starting" else "Unavailable"
    book.drift = DriftStatus(state=state, version=champion.name, message=says)
    book.drifted = ("Unknown", reason, says)
    return Next(wake=None if late else began + FRESH_SECONDS + 1.0)


def _turns(before: Said, after: Said) -> bool:
    """Whether people would be told of another state than before."""
    return before[0] != after[0] and after[0] != "Unknown" and before[1] not in ("Starting", "Insufficient")


def _said(word: DriftWord, champion: Version) -> Said:
    if word.state in ("Drifted", "Stable"):
        drifts = word.state == "Drifted"
        found = printable(word.message) or (listed([_scored(each) for each in word.features]) if drifts else "")
        why = f"requests are {'unlike' if drifts else 'like'} the rows that version {champion.name} was trained on"
        why += ", as far as they can be compared" if word.problems and not drifts else ""
        said = bounded(why + (f": {found}" if found else "") + _quality(word))
        return "True" if drifts else "False", word.state, said
    return "Unknown", word.state, bounded((printable(word.message) or "the judge does not say why") + _quality(word))


def _scored(feature: DriftedFeature) -> str:
    return f"{printable(feature.name)} ({feature.score:.3g})"


def _quality(word: DriftWord) -> str:
    """What is wrong with values, as far as it is named."""
    if not word.data_quality:
        return ""
    told = listed([_problem(each) for each in word.data_quality])
    more = word.problems - len(word.data_quality)
    return f"; not compared, for their values: {told}" + (f" and {more} more" if more > 0 else "")


def _problem(each: QualityProblem) -> str:
    return (
        f"{printable(each.name)} ({_PROBLEMS[each.problem]} in {each.share:.1%} of the rows, usually {each.usual:.1%})"
    )


def _status(word: DriftWord, champion: Version, says: str) -> DriftStatus:
    return DriftStatus(
        state=word.state,
        version=champion.name,
        score=float(f"{word.score:.4g}") if word.score is not None else None,
        # Whoever reads these on a terminal must not be steered by what a column is called.
        features=[
            DriftedFeature(name=printable(each.name), score=float(f"{each.score:.4g}")) for each in word.features
        ],
        data_quality=[
            QualityProblem(name=printable(each.name), problem=each.problem, share=each.share, usual=each.usual)
            for each in word.data_quality
        ],
        checked=word.checked,
        windows=min(word.windows, 1_000_000_000),
        message=says,
    )


def _tell(situation: Situation, book: Book, before: DeploymentCondition | None, said: Said) -> None:
    """An Event where it turns: a drift begins, or is over."""
    was = before.status if before is not None else "Unknown"
    known = situation.status.drift
    occasion = f"{book.last_number}-{known.windows if known is not None else 0}"
    if said[0] == "True" and was != "True":
        book.notices.append(Notice("Drifted", said[2], True, occasion))
    elif said[0] == "False" and was == "True":
        book.notices.append(Notice("DriftEnded", said[2], False, occasion))
