# One image: the command line, Dagster and the dashboard. Data, settings and secrets stay outside:
#   docker build -t funnelhouse .
#   docker run --rm -v funnelhouse-data:/data --env-file .env funnelhouse run
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 funnelhouse \
    && install -d -o funnelhouse -g funnelhouse -m 0700 /data /app
WORKDIR /app
USER funnelhouse
COPY --chown=funnelhouse:funnelhouse . .
RUN ./scripts/bootstrap.sh

ENV FUNNELHOUSE_DATA_DIR=/data
VOLUME /data
ENTRYPOINT ["/app/.venv/bin/funnelhouse"]
CMD ["run"]
