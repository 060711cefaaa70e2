FROM python:3.13-slim

RUN apt-get update \
 && apt-get install --yes --no-install-recommends nftables iproute2 \
 && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src

WORKDIR /var/lib/vaportrail
ENTRYPOINT ["vaportrail"]
CMD ["serve", "--host", "0.0.0.0"]
EXPOSE 8082
