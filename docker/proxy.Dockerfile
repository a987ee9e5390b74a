# The proxy before the SuperLink: Debian's nginx with docker/proxy/nginx.conf.
# Build from DTFL's folder: docker build -f docker/proxy.Dockerfile -t dtfl/proxy:0.1.0 .
FROM debian:12.12-slim

# No versions: Debian takes an old one away when it mends nginx, and the build would fail from then on.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl nginx-light \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --no-create-home --home-dir /state --uid 49999 app \
    && install -d -o app -g app /state
COPY docker/proxy/nginx.conf docker/proxy/superlink-container.conf /opt/dtfl/docker/proxy/
RUN mv /opt/dtfl/docker/proxy/superlink-container.conf /opt/dtfl/docker/proxy/superlink.conf

USER 49999
WORKDIR /state
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=10s --retries=4 \
    CMD ["curl", "--fail", "--silent", "--cacert", "/etc/dtfl/proxy/ca.crt", "https://localhost:8000/health"]
ENTRYPOINT ["nginx", "-p", "/state", "-c", "/opt/dtfl/docker/proxy/nginx.conf"]
