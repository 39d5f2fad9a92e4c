"""A process of `headway serve` with a key: what was signed is answered with, and nothing else is served."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from commands import COMMAND, clean_environment
from served import bundle
from wire_client import PATIENCE, ask

from .split_world import BODY, INFER, serving


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


async def headway(*words: object) -> tuple[int, str]:
    """Exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment()
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_the_page_about_signed_models_from_a_key_to_an_answer_and_to_a_refusal(tmp_path: Path) -> None:
    private, public = tmp_path / "private-key.pem", tmp_path / "public-key.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    folder = tmp_path / "model"
    bundle(folder)
    unsigned = await headway("serve", folder, "--public-key", public, "--port=0", "--admin-port=0")
    assert unsigned[0] == 1
    assert "only signed models are served here" in " ".join(unsigned[1].split())
    assert (await headway("sign", folder, "--key", private))[0] == 0
    assert (await headway("verify", folder, "--public-key", public))[0] == 0
    data = (folder / "model.json").read_bytes()
    signature = (folder / "signature.json").read_bytes()
    async with serving(folder, 1, f"--public-key={public}", kept=True) as server:
        assert (await ask(server.port, "POST", INFER, BODY)).status == 200
    (folder / "model.json").write_bytes(data.replace(b'"churn"', b'"other"'))
    assert (folder / "signature.json").read_bytes() == signature
    code, said = await headway("serve", folder, "--public-key", public, "--port=0", "--admin-port=0")
    assert code == 1
    assert "another one than signature.json was made for" in " ".join(said.split())
