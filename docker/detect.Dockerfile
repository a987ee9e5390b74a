# Detection at a gateway: neither torch nor Flower.
# Build from DTFL's folder: docker build -f docker/detect.Dockerfile -t dtfl/detect:0.1.0 .
# Run: docker run --read-only -v MODEL:/model:ro -v DATA:/data:ro -v STATE:/state dtfl/detect:0.1.0
FROM python:3.11-slim-bookworm

RUN useradd --no-create-home --home-dir /state --uid 49999 app && install -d -o app -g app /state
WORKDIR /opt/dtfl
COPY docker/detect-requirements.txt docker/
RUN pip install --no-cache-dir -r docker/detect-requirements.txt
COPY pyproject.toml README.md ./
COPY dtfl_app dtfl_app
COPY twin twin
RUN pip install --no-cache-dir --no-deps .

USER 49999
ENV HOME=/state PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /state
ENTRYPOINT ["dtfl", "detect"]
CMD ["--model", "/model", "--data", "/data/readings.csv", "--follow", "--out", "/state/alarms.jsonl"]
