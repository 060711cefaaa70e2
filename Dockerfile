FROM python:3.13-slim

RUN apt-get update \
 && apt-get install --yes --no-install-recommends nftables iproute2 \
 && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir "/src[amqp]" && rm -rf /src

WORKDIR /var/lib/vaportrail
ENTRYPOINT ["vaportrail"]
# There is no authentication: publish the port where everybody may change everything, else on 127.0.0.1.
CMD ["serve", "--host", "0.0.0.0", "--no-auth"]
EXPOSE 8082
