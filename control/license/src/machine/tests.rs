mod activation;
mod cells;
