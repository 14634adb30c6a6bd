# The image of agents (stickytop agents up): the program alone, nobody's user, no shell.
#
#   make image IMAGE=registry.example.com/stickytop:dev
#
# takes docker, podman or buildah, whichever answers. GOLANG and BASE may be mirrors of your own; the program is static
# and needs nothing of its base, so that BASE=scratch does too. Nothing is downloaded but Go modules.
ARG GOLANG=golang:1.26
ARG BASE=gcr.io/distroless/static-debian12:nonroot
FROM --platform=$BUILDPLATFORM ${GOLANG} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
ARG VERSION=dev TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /stickytop ./cmd/stickytop

FROM ${BASE}
COPY --from=build /stickytop /stickytop
USER 65532:65532
ENTRYPOINT ["/stickytop"]
