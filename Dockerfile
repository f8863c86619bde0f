# The agent: init, sidecar, and every other command. `make images` builds it and those beside it.
#
# BASE_IMAGE: a Debian-like image with Python 3.11 or newer as python3.
# VARIANT:    cpu, or gpu: onnxruntime's GPU build with CUDA and cuDNN as wheels, so that no CUDA
#             base image is needed.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG VARIANT=cpu
WORKDIR /build
# With a wheelhouse (`make wheelhouse`) nothing is downloaded here; without one, pip does it.
COPY images/install.sh images/locks/${VARIANT}.txt build/wheelhouse/${VARIANT}* wheelhouse/
COPY pyproject.toml README.md source/
COPY agent source/agent
RUN sh wheelhouse/install.sh /opt/model-agent wheelhouse "wheelhouse/${VARIANT}.txt" source

FROM ${BASE_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="model-agent" \
      org.opencontainers.image.description="Verifies, stages, warms and hot-reloads embedding models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Any uid may own what is in the store, as long as its group is 0 or the volume's.
RUN install -d -o 65532 -g 0 -m 2775 /mnt/models
COPY --from=build /opt/model-agent /opt/model-agent
# Nothing is written outside of the store and /tmp: the root file system may be read-only.
ENV PATH=/opt/model-agent/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:0
EXPOSE 9090
# For engines that look at it; Kubernetes has probes of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
  CMD ["python", "-m", "agent.healthcheck"]
ENTRYPOINT ["model-agent"]
CMD ["--help"]
