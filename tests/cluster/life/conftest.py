"""One control plane with two kwok nodes for the tests of this folder; each of them leaves it empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.paper import Operator, Paper, why_no_paper


@pytest.fixture(scope="package")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """The cluster, with the CRDs and the operator's rights."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("life", tmp_path_factory.mktemp("life")) as made:
        yield made


@pytest.fixture(autouse=True)
def clean(paper: Paper) -> Iterator[None]:
    """No job, pod or process is left for the next test."""
    yield
    paper.end_all()
    paper.cluster.kubectl("delete", "tj", "--all", "--wait=false")
    # The garbage collector learns of a new kind only half a minute after it was installed: it is not waited for.
    paper.cluster.kubectl("delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")
    paper.until("no job and no pod", lambda: not paper.cluster.items("tj,pods"))


@pytest.fixture
def operator(paper: Paper) -> Iterator[Operator]:
    """The operator at work."""
    with paper.operator() as made:
        yield made
