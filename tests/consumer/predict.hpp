// What the two translation units of the consumer share.
#pragma once

#include <tsdl/bilstm.hpp>

/// The share of windows whose more probable class is their label.
double accuracy(const tsdl::BiLSTMClassifier<float>& model, const tsdl::Windows<float>& windows);
