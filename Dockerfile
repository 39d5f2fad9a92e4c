# Headway's images: `operator` (no torch, no ray), `server` (serves a finished model; no torch, no ray) and `trainer`
# (what the pods of a job run).
#
#   docker build --target operator --tag headway-operator .
#   docker build --target server --tag headway-server .
#   docker build --target trainer --tag headway-trainer .
#
# Each is a base, one large layer of dependencies that changes only with its lock file, and a last layer of some
# hundred kilobytes with our own code. docker and buildah both build it. Decision 0050 has the reasons.

# Any Debian with python3 (3.11 or newer) and its venv module.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS base
# The account has a name because torch and ssh look it up. The standard library is compiled because slim images and
# minimal ones drop its .pyc files, and a read-only root file system would have each process compile it again.
RUN groupadd --non-unique --gid 1000 headway \
 && useradd --non-unique --uid 1000 --gid 1000 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin headway \
 && python3 -m compileall -q -j 0 -x '/(test|tests|idlelib|lib2to3|site-packages|dist-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
ENV PATH=/opt/headway/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1


# Our own wheel, installed and compiled where the images have it; /overlay is the last layer of each, and /serving the
# server's, which has nothing that trains or decides.
FROM base AS code
WORKDIR /src
COPY requirements/build.lock requirements/
RUN python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY crds crds
COPY cli cli
COPY operator operator
COPY server server
COPY trainer trainer
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && python3 -m venv --without-pip /opt/headway \
 && /build/bin/pip --python /opt/headway/bin/python install --no-index --no-deps --no-compile /dist/*.whl \
 && site="$(/opt/headway/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && /opt/headway/bin/python -m compileall -q "$site" \
 && mkdir -p /overlay/bin "/overlay/${site#/opt/headway/}" \
 && cp -a /opt/headway/bin/headway* /overlay/bin/ \
 && cp -a "$site"/headway* "/overlay/${site#/opt/headway/}/" \
 && cp -a /overlay /serving \
 && rm -rf "/serving/${site#/opt/headway/}/headway_trainer" "/serving/${site#/opt/headway/}/headway_operator" \
      /serving/bin/headway-operator


FROM base AS operator
COPY requirements/operator.lock /opt/headway/requirements.lock
# pip runs from a venv beside the image's own, so that no installer stays behind.
RUN python3 -m venv /tmp/pip \
 && python3 -m venv --without-pip /opt/headway \
 && /tmp/pip/bin/pip --python /opt/headway/bin/python install --progress-bar off --no-cache-dir --no-compile --no-deps \
      --require-hashes --requirement /opt/headway/requirements.lock \
 && /opt/headway/bin/python -m compileall -q -j 0 /opt/headway/lib \
 && rm -rf /tmp/pip
COPY --from=code /overlay/ /opt/headway/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headway-operator" \
      org.opencontainers.image.description="Watches TrainingJobs and runs their pods." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 1000:1000
ENTRYPOINT ["headway-operator"]


FROM base AS server
COPY requirements/server.lock /opt/headway/requirements.lock
# pip runs from a venv beside the image's own, so that no installer stays behind; nor do tests of packages, and what
# onnxruntime has for those who make models.
RUN python3 -m venv /tmp/pip \
 && python3 -m venv --without-pip /opt/headway \
 && /tmp/pip/bin/pip --python /opt/headway/bin/python install --progress-bar off --no-cache-dir --no-compile --no-deps \
      --require-hashes --requirement /opt/headway/requirements.lock \
 && find /opt/headway/lib -type d \( -path '*/numpy/*/tests' -o -path '*/onnxruntime/transformers' \
      -o -path '*/onnxruntime/quantization' -o -path '*/onnxruntime/tools' \) -prune -exec rm -rf {} + \
 && /opt/headway/bin/python -m compileall -q -j 0 /opt/headway/lib \
 && rm -rf /tmp/pip
COPY --from=code /serving/ /opt/headway/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headway-server" \
      org.opencontainers.image.description="Serves a finished model over the Open Inference Protocol." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 1000:1000
ENTRYPOINT ["headway", "serve"]


FROM base AS trainer
# For code.git; ssh for its ssh:// addresses.
RUN { command -v git && command -v ssh; } >/dev/null \
 || { apt-get update \
   && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
   && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt; }
COPY requirements/trainer.lock /opt/headway/requirements.lock
# An index with builds of torch for another accelerator, or for none. From there torch and what it brings for its
# accelerator come without hashes, at the lock's version; all the rest is still held to the lock's hashes.
ARG TORCH_INDEX_URL=
RUN python3 -m venv /tmp/pip \
 && python3 -m venv --without-pip /opt/headway \
 && install="/tmp/pip/bin/pip --python /opt/headway/bin/python install --progress-bar off --no-cache-dir --no-compile" \
 && if [ -z "${TORCH_INDEX_URL}" ]; then \
      $install --no-deps --require-hashes --requirement /opt/headway/requirements.lock; \
    else \
      awk '/^[a-z]/ { keep = !/^(torch==|triton==|nvidia-|cuda-)/ } keep' /opt/headway/requirements.lock >/tmp/rest.lock \
      && $install --no-deps --require-hashes --requirement /tmp/rest.lock \
      && $install --index-url "${TORCH_INDEX_URL}" "$(awk '/^torch==/ { print $1 }' /opt/headway/requirements.lock)" \
      && rm /tmp/rest.lock; \
    fi \
 && { /opt/headway/bin/python -m compileall -qq -j 0 /opt/headway/lib || true; } \
 && rm -rf /tmp/pip
COPY --from=code /overlay/ /opt/headway/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headway-trainer" \
      org.opencontainers.image.description="Runs the pods of a TrainingJob: PyTorch, Ray and Headway's trainer." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 1000:1000
