# The image of agents (stickytop agents up): the program alone, nobody's user, no shell.
#
#   make image IMAGE=registry.example.com/stickytop:dev        (DOCKER=podman, BASE and GO for mirrors)
#
# BASE and GO may be mirrors of your own. Nothing is downloaded but Go modules.
ARG GO=golang:1.26
ARG BASE=gcr.io/distroless/static-debian12:nonroot
FROM --platform=$BUILDPLATFORM ${GO} AS build
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
