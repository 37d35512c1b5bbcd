# Everything that `usgland` does, as a user without rights. Nothing but the base image
# and the package index is reached while it is built.
#
#   docker build --file scripts/containers/training.Dockerfile --tag usgland .
#   docker build --file scripts/containers/training.Dockerfile --tag usgland:gpu \
#       --build-arg HARDWARE=gpu .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" \
#       --volume usgland:/cache usgland fit --manifest my/manifest.csv
#
# `--gpus all` gives it the GPUs, `--read-only --tmpfs /tmp` takes all else from it:
# runs are written to /work, and what is downloaded to /cache.
FROM python:3.13.7-slim-bookworm AS build
ARG HARDWARE=cpu
WORKDIR /build
COPY LICENSE README.md pyproject.toml setup.cfg requirements*.lock ./
COPY configs configs
COPY usgland usgland
COPY scripts/install scripts/
# Exact versions with hashes. Then the package itself, in place of a link to /build.
RUN bash scripts/install "--$HARDWARE" --venv /opt/usgland && \
    /opt/usgland/bin/python -m pip install --no-cache-dir --no-deps \
        --no-build-isolation --force-reinstall .

FROM python:3.13.7-slim-bookworm
COPY --from=build /opt/usgland /opt/usgland
# Whoever it runs as may write there.
RUN mkdir --mode 1777 /cache /work
ENV PATH=/opt/usgland/bin:$PATH \
    HOME=/cache \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
USER 65534:65534
ENTRYPOINT ["usgland"]
CMD ["--help"]
