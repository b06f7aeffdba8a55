// mixed CANDLES PART...: runs the named parts, in that order, and writes each one's numbers into a
// file of its name. A part that is not linked in is an error. Includes nothing of tsdl's.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

extern "C" {
[[gnu::weak]] int part_v1(const char*, std::FILE*);
[[gnu::weak]] int part_v3(const char*, std::FILE*);
[[gnu::weak]] int part_v4(const char*, std::FILE*);
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::ifstream in(argv[1], std::ios::binary);
  const std::string candles{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  for (int i = 2; i < argc; ++i) {
    const std::string name = argv[i];
    int (*part)(const char*, std::FILE*) = name == "v1"   ? part_v1
                                           : name == "v3" ? part_v3
                                           : name == "v4" ? part_v4
                                                          : nullptr;
    if (!part) return 2;
    std::FILE* out = std::fopen(argv[i], "wb");
    if (!out) return 2;
    const int status = part(candles.c_str(), out);
    if (std::fclose(out) != 0 || status != 0) return 1;
  }
  return 0;
}
