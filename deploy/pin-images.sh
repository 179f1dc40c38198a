#!/bin/sh
# Adds to each image under `x-images` of docker-compose.yml the digest that its tag stands for now. Needs Docker.
set -eu

file=docker-compose.yml
sed -n '/^x-images:/,/^$/s/^ .*&[a-z0-9-]* //p' "$file" | while read -r image; do
  tag=${image%@*}
  digest=$(docker buildx imagetools inspect "$tag" --format '{{.Manifest.Digest}}')
  case $digest in sha256:*) ;; *) echo "No digest for $tag: $digest" >&2; exit 1 ;; esac
  sed "s|\(&[a-z0-9-]* \)$image\$|\1$tag@$digest|" "$file" >"$file.new"
  mv "$file.new" "$file"
  echo "$tag@$digest"
done
