"""Verification process: loads artifacts under resource limits and reproduces their golden rows.

Run as ``python -m modelregistry.artifacts.child``; reads one JSON request from standard input and
writes one JSON line per artifact. It may crash; it has no secrets, no database and no network use.
"""

import json
import resource
import sys
from pathlib import Path

from modelregistry.artifacts.loading import load_estimator
from modelregistry.artifacts.reading import read_artifact
from modelregistry.errors import ModelLoadError

MEMORY_BYTES = 6 * 2**30
"""Limit of the address space, not of memory in use: threads and shared libraries reserve far more than they use."""
PROCESSOR_SECONDS = 60


def main() -> None:
    """Verify every artifact of the request, writing each result before the next starts."""
    request = json.load(sys.stdin)
    _limit()
    if request.get("estimators"):
        from modelregistry.estimators import extra
        from modelregistry.estimators.kinds import KINDS

        extra.install(extra.find_estimators(request["estimators"], KINDS))
    for kind, digest in request["artifacts"]:
        line = {"kind": kind, "digest": digest, "error": verify(Path(request["root"]), kind, digest)}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def verify(root: Path, kind: str, digest: str) -> str:
    """Return why the artifact must not be used, or an empty string."""
    from modelregistry.estimators import golden

    try:
        artifact = read_artifact(root, kind, digest)
        estimator = load_estimator(artifact)
        worst = golden.difference(estimator, artifact.manifest["golden_rows"])
    except (ModelLoadError, ValueError) as error:
        return str(error)
    if worst > golden.TOLERANCE:
        return f"it differs from its golden rows by {worst:.1e}; at most {golden.TOLERANCE:.0e} is allowed"
    return ""


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    main()
