// llama-server without its pages for a browser: what its build otherwise makes
// of them. It is made for measuring and answers programs.
#pragma once

#include <array>
#include <string>

struct llama_ui_asset {
    std::string           name;
    const unsigned char * data;
    std::size_t           size;
    std::string           etag;
    std::string           type;
};

inline const llama_ui_asset * llama_ui_find_asset(const std::string &) { return nullptr; }
inline bool llama_ui_use_gzip() { return false; }
inline std::array<llama_ui_asset, 0> llama_ui_get_assets() { return {}; }
