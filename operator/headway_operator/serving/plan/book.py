"""The versions of a status, and the moves that they can make: each keeps what holds of all of them.

There is at most one champion, one candidate and one version before the champion. The champion answers all requests, but
for the candidate's share while a rollout splits them.
"""

from __future__ import annotations

from collections.abc import Container

from headway_api.deployment_status import ModelDeploymentStatus, Rejection, State, Version, VersionReplicas
from headway_api.served import ModelSource, Server
from headway_operator.engine.steps import Notice
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_text
from headway_operator.serving import names
from headway_operator.serving.plan.offers import job_of


class Book:
    """The versions while a decision is made."""

    def __init__(self, deployment: str, status: ModelDeploymentStatus, now: float) -> None:
        self._deployment = deployment
        self._now = to_text(now)
        self._entries = {version.name: version for version in status.versions}
        self.last_number = status.last_number
        self.published = status.published
        self.champion_name = status.champion if status.champion in self._entries else None
        self.candidate_name = status.candidate if status.candidate in self._entries else None
        self.previous_name = status.previous if status.previous in self._entries else None
        self.route = status.route
        self.rollout = status.rollout
        self.scaling = status.autoscaling
        self.drift = status.drift
        self.drifted: tuple[str, str, str] | None = None
        """What the condition Drifted is to say: a status, a reason, a sentence; None: there is none."""
        self.progress: tuple[str, str] | None = None
        """What the rollout of the candidate does or waits for: a reason, and a sentence."""
        self.moved = False
        self.notices: list[Notice] = []

    @property
    def versions(self) -> list[Version]:
        """All of them, the newest last."""
        return sorted(self._entries.values(), key=lambda version: version.number)

    @property
    def champion(self) -> Version | None:
        """The version that answers."""
        return self._entries.get(self.champion_name or "")

    @property
    def candidate(self) -> Version | None:
        """The version that is on its way."""
        return self._entries.get(self.candidate_name or "")

    @property
    def previous(self) -> Version | None:
        """The version that answered before."""
        return self._entries.get(self.previous_name or "")

    def get(self, name: str | None) -> Version | None:
        """The version of a name."""
        return self._entries.get(name or "")

    def put(self, version: Version) -> None:
        """What is known of a version that stays in its place."""
        self._entries[version.name] = version

    def begin(self, source: ModelSource, server: Server, image: str, beyond: int, judged: int) -> None:
        """A candidate begins; its number is beyond all that were given and all that are seen.

        judged: the number that the judge spoke of last, which is not given again: where a status was lost, the word
        about another version of that number would be taken for one about this.
        """
        if self.candidate is not None:
            raise ValueError(f"there is a candidate already: {self.candidate_name}")
        self.last_number = max(self.last_number, beyond, *(version.number for version in self.versions), 0) + 1
        self.last_number += self.last_number == judged
        name = names.version_name(self._deployment, self.last_number)
        self._entries[name] = Version(
            name=name,
            number=self.last_number,
            state="Candidate",
            source=source,
            server=server,
            image=image,
            job=job_of(source, self.published, reversed(self.versions)),
            replicas=VersionReplicas(),
            since=self._now,
            waiting_since=self._now,
        )
        self.candidate_name = name
        self.tell("VersionBegun", f"version {name} is made; it gets requests once all its pods are ready")

    def withdraw(self, why: str) -> None:
        """The candidate is not wanted any more, which is no fault of its own."""
        name = self.candidate_name
        if name is not None:
            del self._entries[name]
            self.candidate_name = None
            self.tell("VersionWithdrawn", f"version {name} is given up: {why}")

    def promote(self, *, keep: bool) -> None:
        """The candidate answers; the version before it keeps its pods for a while, or not."""
        new, old, older = self.candidate, self.champion, self.previous
        if new is None:
            return
        if older is not None:
            self._set(older, "Retired")
        if old is not None:
            self._set(old, "Previous" if keep else "Retired")
        self._set(new, "Champion")
        self.previous_name = old.name if old is not None and keep else None
        self.champion_name, self.candidate_name = new.name, None
        self.tell("Promoted", f"version {new.name} answers" + (f" in place of {old.name}" if old else ""))

    def swap(self) -> None:
        """The version before the champion is wanted again, and has its pods still: the two change places."""
        new, old = self.previous, self.champion
        if new is None or old is None:
            return
        self._set(old, "Previous")
        self._set(new, "Champion")
        self.champion_name, self.previous_name = new.name, old.name
        self.tell("Promoted", f"version {new.name} answers again, in place of {old.name}")

    def reject(self, reason: Rejection, message: str) -> None:
        """The candidate does not answer, and is remembered as one that should not."""
        bad = self.candidate
        if bad is None:
            return
        self._set(bad, "Rejected", reason, message)
        self.candidate_name = None
        stays = f"; version {self.champion_name} answers as before" if self.champion_name else ""
        self.tell("RolledBack", f"version {bad.name} is rejected: {message}{stays}", warning=True)

    def return_to_previous(self, reason: Rejection, message: str) -> None:
        """The champion has failed while the version before it has its pods still."""
        bad, good = self.champion, self.previous
        if bad is None or good is None:
            return
        self._set(bad, "Rejected", reason, message)
        self._set(good, "Champion")
        self.champion_name, self.previous_name = good.name, None
        self.tell("RolledBack", f"version {bad.name} is rejected: {message}; {good.name} answers again", warning=True)

    def retire_previous(self) -> None:
        """The version before the champion gives its pods back."""
        if self.previous is not None:
            self._set(self.previous, "Retired")
            self.previous_name = None
            self.moved = True

    def trim(self, keep: int, protected: Container[str | None]) -> None:
        """Forget the oldest versions without pods, but those that must not be forgotten."""
        idle = [version for version in self.versions if version.state in ("Retired", "Rejected")]
        for version in idle[: max(0, len(idle) - keep)]:
            if version.name not in protected:
                del self._entries[version.name]

    def share(self) -> None:
        """The champion and the candidate have the shares that the rollout says."""
        rollout = self.rollout
        split = rollout is not None and rollout.stage == "Splitting" and self.candidate is not None
        weight = rollout.weight if rollout is not None and split else 0
        for version, part in ((self.champion, 100 - weight), (self.candidate, weight)):
            if version is not None and version.weight != part:
                self.put(version.model_copy(update={"weight": part}))

    def _set(self, version: Version, state: State, reason: Rejection | None = None, message: str | None = None) -> None:
        update = {"state": state, "since": self._now, "waiting_since": None, "reason": reason}
        said = bounded(message) if message is not None else None
        weight = 100 if state == "Champion" else 0
        self._entries[version.name] = version.model_copy(update={**update, "message": said, "weight": weight})

    def tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        """A version has moved: an Event says so."""
        self.moved = True
        self.notices.append(Notice(reason, bounded(message), warning, str(self.last_number)))
