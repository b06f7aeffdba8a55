#include <tsdl/bilstm.hpp>

int main() {}
