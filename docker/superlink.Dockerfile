# The SuperLink with what DTFL's ServerApp imports: Flower installs nothing at run time here.
# Build from DTFL's folder: docker build -f docker/superlink.Dockerfile -t dtfl/superlink:0.1.0 .
FROM flwr/superlink:1.41.0-py3.13-ubuntu24.04

# The CPU builds: PyPI's own torch brings several gigabytes of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /opt/dtfl
COPY --chown=app:app constraints.txt pyproject.toml README.md ./
COPY --chown=app:app dtfl_app dtfl_app
COPY --chown=app:app twin twin
RUN pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" "$(grep '^torch==' constraints.txt)" \
    && pip install --no-cache-dir -c constraints.txt .
COPY docker/superlink.sh docker/serverapp.sh docker/flower-home.sh docker/health.py docker/

# A new volume takes its owner from the folder it is mounted on.
USER 0
RUN install -d -o app -g app /state
USER 49999

# What is written to a home lands on the volume: the root file system may be read-only.
ENV HOME=/state DTFL_CERTS=/certs DTFL_STATE=/state DTFL_PORT=8000 MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /state
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 \
    CMD ["python", "/opt/dtfl/docker/health.py", "superlink"]
ENTRYPOINT ["/opt/dtfl/docker/superlink.sh"]
