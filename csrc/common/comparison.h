// Reads the inputs of every op that compares anchors with keys: rows and their labels.
//
//   x          (N, D)  float32|float64      labels      (N,)  int64     groups      (N,)  int64
//   keys       (M, D)  like x               key_labels  (M,)  int64     key_groups  (M,)  int64
//
// Without keys, the anchors are the keys, and no row is compared with itself.
#pragma once

#include <optional>

#include "common/check.h"

namespace reid_ext {

struct Comparison {
  Tensor x, labels, keys, key_labels;  // without keys, those of the anchors
  std::optional<Tensor> groups, key_groups;
  bool own_keys;
  int64_t n, m, d;
};

inline Tensor read_integers(const char* op, const char* name, const Tensor& t, int64_t length,
                            const char* ref_name, const Tensor& ref) {
  check_integers(op, name, t, length, ref_name, ref);
  return torch::stable::contiguous(t);
}

inline Comparison read_comparison(const char* op, const Tensor& x, const Tensor& labels,
                                  const std::optional<Tensor>& keys,
                                  const std::optional<Tensor>& key_labels) {
  check_matrix(op, "x", x);
  STD_TORCH_CHECK(keys.has_value() == key_labels.has_value(), op,
                  ": keys and key_labels must be given together, got only one of them");
  Comparison c;
  c.own_keys = !keys.has_value();
  c.x = torch::stable::contiguous(x);
  c.n = x.size(0);
  c.d = x.size(1);
  c.labels = read_integers(op, "labels", labels, c.n, "x", x);
  c.keys = c.x;
  c.key_labels = c.labels;
  c.m = c.n;
  if (keys) {
    c.m = keys->dim() > 0 ? keys->size(0) : 0;
    check_like(op, "keys", *keys, {c.m, c.d}, "x", x);
    c.keys = torch::stable::contiguous(*keys);
    c.key_labels = read_integers(op, "key_labels", *key_labels, c.m, "keys", *keys);
  }
  return c;
}

// Reads the groups of the anchors and of the keys. name and key_name are for error messages.
inline void read_groups(const char* op, const char* name, const char* key_name,
                        const std::optional<Tensor>& groups,
                        const std::optional<Tensor>& key_groups, Comparison& c) {
  STD_TORCH_CHECK(!key_groups.has_value() || (!c.own_keys && groups.has_value()), op, ": ",
                  key_name, " must be None unless keys and ", name, " are given, got a tensor");
  if (!groups) return;
  STD_TORCH_CHECK(c.own_keys || key_groups.has_value(), op, ": ", key_name,
                  " must be given when keys and ", name, " are given, got no tensor");
  c.groups = read_integers(op, name, *groups, c.n, "x", c.x);
  c.key_groups =
      c.own_keys ? c.groups : read_integers(op, key_name, *key_groups, c.m, "keys", c.keys);
}

}  // namespace reid_ext
